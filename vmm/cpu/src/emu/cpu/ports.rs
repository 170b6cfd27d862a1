//! Permission checks of ports.

use x86::segment as a;

use crate::emu::cpu::Cpu;
use crate::emu::state::exception::{Exception, Stop};

impl Cpu {
    /// Checks that `size` ports from `port` on may be used (AMD APM vol. 2 12.2.5), and
    /// compares them with breakpoints.
    ///
    /// # Errors
    /// #GP(0) if neither IOPL nor the TSS's bitmap allows it.
    pub fn check_port(&mut self, port: u16, size: u8) -> Result<(), Stop> {
        self.watch_port(port, size);
        if self.control.io_privileged() {
            return Ok(());
        }
        /// Offset in the TSS of the bitmap's own offset.
        const MAP_BASE: u64 = 102;
        let limit = u64::from(self.control.tr.limit);
        let has_map = self.control.tr.attributes & a::TYPE & 8 != 0;
        if !has_map || MAP_BASE + 1 > limit {
            return Err(Exception::GP.into());
        }
        let map: u16 = self.system_read(self.control.tr.base.wrapping_add(MAP_BASE))?;
        let at = u64::from(map) + u64::from(port / 8);
        if at + 1 > limit {
            return Err(Exception::GP.into());
        }
        let bits: u16 = self.system_read(self.control.tr.base.wrapping_add(at))?;
        let mask = ((1_u16 << size) - 1) << (port % 8);
        if bits & mask != 0 {
            return Err(Exception::GP.into());
        }
        Ok(())
    }
}

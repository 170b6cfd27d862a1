//! The area of `xsave`, and the components in it.
//!
//! In both formats a component has the same place here, as only one comes after the header.
//! Which components are in use is worked out from their values: a component is in use unless
//! it is as after reset. Software sees no more of the *init optimization* than that, and
//! nothing at all of the *modified optimization*, which is left out.

use x86::{XCr0Flags, fx, xsave};

use crate::emu::arithmetic::value::xmm_zero;
use crate::emu::state::registers::{Registers, Slot};
use crate::emu::state::x87::{Image, Layout, X87 as X87State};

/// The components, as in XCR0 (AMD APM vol. 2 11.5.2).
pub const X87: u64 = XCr0Flags::X87.bits();
/// The XMM registers; MXCSR is no component's alone.
pub const SSE: u64 = XCr0Flags::SSE.bits();
/// The high halves of the YMM registers.
pub const AVX: u64 = XCr0Flags::AVX.bits();

/// The components that the processor has.
pub fn components() -> u64 {
    if std::is_x86_feature_detected!("avx") {
        X87 | SSE | AVX
    } else {
        X87 | SSE
    }
}

/// Bytes of an area for `components`, in both formats.
pub fn len(components: u64) -> usize {
    if components & AVX != 0 {
        size_of::<Area>()
    } else {
        xsave::YMM_HIGH_AT
    }
}

/// An area for all components.
#[repr(C, align(64))]
pub struct Area {
    image: Image,
    software: [u8; fx::LEN - size_of::<Image>()],
    pub header: Header,
    ymm_high: [u128; 16],
}

const _: () = assert!(size_of::<Area>() == xsave::YMM_HIGH_AT + xsave::YMM_HIGH_LEN);

/// The header (Intel SDM vol. 1 13.4.2).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The components in use: the others are as after reset.
    pub in_use: u64,
    /// Zero in the standard format; else [`xsave::COMPACTED`] and the components that have a
    /// place.
    pub format: u64,
    pub reserved: [u64; 6],
}

const _: () = assert!(size_of::<Header>() == xsave::HEADER_LEN);

impl Area {
    /// An area of zeros.
    pub const ZERO: Self = Self {
        image: Image::ZERO,
        software: [0; _],
        header: Header {
            in_use: 0,
            format: 0,
            reserved: [0; 6],
        },
        ymm_high: [0; 16],
    };

    /// MXCSR in the area.
    pub fn mxcsr(&self) -> u32 {
        self.image.mxcsr()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; size_of::<Self>()] {
        // SAFETY: the struct has no padding.
        unsafe { &*(&raw const *self).cast() }
    }

    /// The bytes, any of which may be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8; size_of::<Self>()] {
        // SAFETY: the struct has no padding, and any bytes make one.
        unsafe { &mut *(&raw mut *self).cast() }
    }
}

impl Registers {
    /// The components that are not as after reset.
    pub fn components_in_use(&self) -> u64 {
        let x87 = &self.x87;
        let x87_in_use = x87.control != fx::CONTROL_INITIAL
            || x87.status != 0
            || x87.full != 0
            || x87.registers != [0; 8];
        let sse_in_use = (0..16).any(|n| self.xmms.read::<u128>(Slot::xmm(n)) != 0);
        let avx_in_use = self.ymm_high != [0; 16];
        [(x87_in_use, X87), (sse_in_use, SSE), (avx_in_use, AVX)]
            .into_iter()
            .filter(|(in_use, _)| *in_use)
            .fold(0, |all, (_, component)| all | component)
    }

    /// Writes `components` into `area`, and MXCSR if `with_mxcsr`; not the header. Exception
    /// flags must have been collected.
    pub fn save_components(
        &self,
        area: &mut Area,
        components: u64,
        with_mxcsr: bool,
        layout: Layout,
    ) {
        let image = &raw mut area.image;
        // SAFETY: the image is the area's, whole.
        unsafe {
            if components & X87 != 0 {
                self.write_x87(image, layout);
            }
            if components & SSE != 0 {
                self.write_xmms(image, layout);
            }
            if with_mxcsr {
                self.write_mxcsr(image);
            }
        }
        if components & AVX != 0 {
            area.ymm_high[..layout.xmms].copy_from_slice(&self.ymm_high[..layout.xmms]);
        }
    }

    /// Takes over those of `components` that `area` has in use, and resets the others; not
    /// MXCSR.
    pub fn restore_components(&mut self, area: &Area, components: u64, layout: Layout) {
        let image = &raw const area.image;
        let taken = components & area.header.in_use;
        let reset = components & !taken;
        // SAFETY: the image is the area's, whole.
        unsafe {
            if taken & X87 != 0 {
                self.read_x87(image, layout);
            }
            if taken & SSE != 0 {
                self.read_xmms(image, layout);
            }
        }
        if taken & AVX != 0 {
            self.ymm_high[..layout.xmms].copy_from_slice(&area.ymm_high[..layout.xmms]);
        }
        if reset & X87 != 0 {
            self.x87 = X87State::new();
        }
        if reset & SSE != 0 {
            for n in 0..layout.xmms {
                self.xmms.write(Slot::xmm(n), xmm_zero());
            }
        }
        if reset & AVX != 0 {
            self.ymm_high[..layout.xmms].fill(0);
        }
    }
}

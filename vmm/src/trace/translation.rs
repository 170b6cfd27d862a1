//! Translations of the guest's code, and their way to the tracer: a log that the emulator adds
//! to while the guest runs, and that is read where the guest's ring is.
//!
//! When there are many in it, it has the vCPU leave the guest: so none is lost, and memory for
//! them is bounded.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cpu::emu::{CodeLine, disassemble};
use crate::cpu::{Kick, TranslatedBlock, Translation, TranslationSink, Vcpu};
use crate::report::{Namer, Symbol};

/// Translations for which the guest is left; while it goes on to the end of its slice, some more
/// may come.
const MANY: usize = 64;

/// Translations that the tracer has not read yet.
struct TranslationLog {
    kept: Mutex<Vec<Translation>>,
    vcpu: Arc<dyn Kick>,
}

impl TranslationLog {
    /// An empty one, of the vCPUs that `vcpu` makes leave the guest.
    fn new(vcpu: Arc<dyn Kick>) -> Self {
        Self {
            kept: Mutex::default(),
            vcpu,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Translation>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves all out of it, in order.
    fn take(&self) -> Vec<Translation> {
        mem::take(&mut *self.kept())
    }
}

impl TranslationSink for TranslationLog {
    fn add(&self, translation: Translation) {
        let mut kept = self.kept();
        kept.push(translation);
        if kept.len() == MANY {
            self.vcpu.kick();
        }
    }
}

/// What the vCPUs tell, and what was read of it.
pub(super) struct Translations {
    log: Arc<TranslationLog>,
    /// Read from the log, and not reported yet.
    unread: VecDeque<Translation>,
    pub namer: Namer,
}

impl Translations {
    /// Those of `vcpus`, which all run on one thread, if there are any.
    pub fn of(vcpus: &mut [Box<dyn Vcpu>], namer: Namer) -> Option<Self> {
        let log = Arc::new(TranslationLog::new(vcpus.first()?.kicker()));
        for vcpu in vcpus {
            vcpu.tell_translations(Arc::clone(&log) as Arc<dyn TranslationSink>);
        }
        Some(Self {
            log,
            unread: VecDeque::new(),
            namer,
        })
    }

    /// Reads the log.
    pub fn read(&mut self) {
        self.unread.extend(self.log.take());
    }

    /// The next one, if it was made until then.
    pub fn next_until(&mut self, ns: u64) -> Option<Translation> {
        let is_due = self.unread.front().is_some_and(|next| next.ns <= ns);
        is_due.then(|| self.unread.pop_front())?
    }
}

/// A block of the guest's code that was translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranslationEvent {
    /// Where it begins.
    pub address: u64,
    /// Its privilege level, 0 to 3.
    pub ring: u8,
    /// The function that it is in, if its image has symbols.
    pub symbol: Option<Symbol>,
    /// Bytes of the guest's code.
    pub guest_len: usize,
    /// Bytes of host code that are this block's, without what is rare.
    pub host_len: usize,
    /// The guest's instructions, and the host's for them, by their place in all of the code that
    /// was made with it.
    pub pieces: Vec<(Vec<CodeLine>, Vec<CodeLine>)>,
}

impl TranslationEvent {
    pub(super) fn new(all: &Translation, block: &TranslatedBlock, namer: &Namer) -> Self {
        let pieces = block.pieces.iter().map(|piece| {
            let guest = block.code.get(piece.guest.clone()).unwrap_or_default();
            let host = all.code.get(piece.host.clone()).unwrap_or_default();
            let address = block.address.wrapping_add(piece.guest.start as u64);
            let host = disassemble(host, piece.host.start as u64);
            (disassemble(guest, address), host)
        });
        Self {
            address: block.address,
            ring: all.ring,
            symbol: namer(all.ring, block.address, &block.code),
            guest_len: block.code.len(),
            host_len: block.host().len(),
            pieces: pieces.collect(),
        }
    }

    /// Instructions of the guest.
    pub fn instructions(&self) -> usize {
        self.pieces.iter().map(|(guest, _)| guest.len()).sum()
    }

    /// Lines of what stands beside each other.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Option<&CodeLine>, Option<&CodeLine>)> {
        self.pieces.iter().flat_map(|(guest, host)| {
            let rows = 0..guest.len().max(host.len());
            rows.map(move |row| (guest.get(row), host.get(row)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{MANY, TranslationLog};
    use crate::cpu::{Kick, Translation, TranslationSink};

    struct Kicks(AtomicUsize);

    impl Kick for Kicks {
        fn kick(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_guest_is_left_before_there_are_too_many() {
        let kicks = Arc::new(Kicks(AtomicUsize::new(0)));
        let log = TranslationLog::new(kicks.clone());
        for ns in 0..2 * MANY as u64 - 1 {
            log.add(Translation {
                ns,
                cpu: 0,
                ring: 0,
                code: Vec::new(),
                address: 0,
                blocks: Vec::new(),
                rare: 0,
            });
            if ns == MANY as u64 - 1 {
                assert_eq!(kicks.0.load(Ordering::Relaxed), 1);
                assert_eq!(log.take().len(), MANY);
            }
        }
        assert_eq!(kicks.0.load(Ordering::Relaxed), 1);
        let left = log.take();
        assert!(left.len() == MANY - 1 && left.is_sorted_by_key(|all| all.ns));
    }
}

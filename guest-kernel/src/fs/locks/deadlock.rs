//! Who waits for whose lock, so that processes do not all wait for each other.

use abi::Errno;
use mm::Shared;
use single_cpu::SingleCpu;

use crate::fs::locks::Owner;
use crate::fs::shared_list::{Link, Linked, SharedList};
use crate::proc::wait_queue::WaitQueue;

/// How far a chain of those who wait is followed (Linux, MAX_DEADLK_ITERATIONS).
const MAX_STEPS: usize = 10;

/// A process that waits.
struct Waiting {
    owner: Owner,
    /// Whose lock is in the way.
    holder: Owner,
    link: Link<Waiting>,
}

impl Linked<()> for Waiting {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

static WAITING: SingleCpu<SharedList<Waiting, ()>> = SingleCpu::new(SharedList::new());

/// Waits at `queue` for a lock of `holder` to go.
///
/// # Errors
/// EDEADLK: it waits, maybe through others, for one of `owner`. ENOLCK: there is no memory.
/// RESTART: a signal came.
pub fn wait(owner: Owner, holder: Owner, queue: &WaitQueue) -> Result<(), Errno> {
    let Owner::Process(_) = owner else {
        return Ok(queue.sleep()?);
    };
    if would_wait_for(holder, owner) {
        return Err(Errno::EDEADLK);
    }
    let waiting = Shared::new(Waiting {
        owner,
        holder,
        link: Link::new(),
    });
    let waiting = waiting.map_err(|_| Errno::ENOLCK)?;
    WAITING.push_back(waiting.clone());
    let result = queue.sleep();
    WAITING.remove(&waiting);
    Ok(result?)
}

fn would_wait_for(holder: Owner, owner: Owner) -> bool {
    let mut holder = holder;
    for _ in 0..MAX_STEPS {
        let next = |waiting: &Shared<Waiting>| SharedList::<Waiting, ()>::after(waiting);
        let mut all = core::iter::successors(WAITING.first(), next);
        let Some(waiting) = all.find(|waiting| waiting.owner == holder) else {
            return false;
        };
        holder = waiting.holder;
        if holder == owner {
            return true;
        }
    }
    false
}

//! What the vCPUs of a machine tell each other about code, as each has decoded blocks of its
//! own.
//!
//! A vCPU learns which pages others have decoded, so that its writes there take the slow path
//! too, and what was written there, so that it drops its blocks. vCPUs take turns, and each
//! hears the news before its turn: nothing is run in between. Rejected: one cache for all,
//! whose contexts (one for each view of the code) and links would have to be shared as well.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::{HashMap, HashMapExt};

use crate::emu::memory::ram::PAGE;

/// Most vCPUs of a machine: one bit each.
pub const MOST: usize = u32::BITS as usize;
/// Most pieces of news that wait for a vCPU; one that misses some starts over.
const MOST_NEWS: usize = 1 << 16;

/// What has happened to code; addresses are guest-physical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Code was decoded in the page of this address.
    Decoded(u64),
    /// None is left there.
    Dropped(u64),
    /// None is left anywhere.
    DroppedAll,
    /// This many bytes from this address on, all in one page, were written.
    Written(u64, u64),
    /// News were lost on the way: drop all code, and have the others forget theirs, which
    /// may be unknown.
    Lost,
    /// Drop all code.
    Forget,
}

/// News for one vCPU, each with the number of the one that it comes from.
#[derive(Default)]
struct Inbox(Vec<(usize, News)>);

/// One vCPU's view of the others.
pub struct Neighbours {
    own: usize,
    inboxes: Arc<[Mutex<Inbox>]>,
    /// Which of the others have decoded code in a page, by its number: a bit each.
    pages: HashMap<u64, u32>,
}

impl Neighbours {
    /// The views of `count` vCPUs, at most [`MOST`].
    pub fn all(count: usize) -> impl Iterator<Item = Self> {
        let inboxes: Arc<[Mutex<Inbox>]> = (0..count).map(|_| Mutex::default()).collect();
        (0..count).map(move |own| Self {
            own,
            inboxes: Arc::clone(&inboxes),
            pages: HashMap::new(),
        })
    }

    /// Whether others have decoded code in the page of `gpa`.
    pub fn hold(&self, gpa: u64) -> bool {
        !self.pages.is_empty() && self.pages.contains_key(&(gpa / PAGE))
    }

    /// Tells all others.
    pub fn tell(&self, news: News) {
        for (number, inbox) in self.inboxes.iter().enumerate() {
            if number == self.own {
                continue;
            }
            let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
            if inbox.0.len() < MOST_NEWS {
                inbox.0.push((self.own, news));
            } else {
                inbox.0 = vec![(self.own, News::Lost)];
            }
        }
    }

    /// The news since the last call, in their order, which this view of the others follows
    /// from now on.
    pub fn hear(&mut self) -> Vec<News> {
        let inbox = &self.inboxes[self.own];
        let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let news = mem::take(&mut inbox.0);
        drop(inbox);
        for &(from, ref news) in &news {
            let bit = 1 << from;
            match news {
                News::Decoded(gpa) => *self.pages.entry(gpa / PAGE).or_default() |= bit,
                News::Dropped(gpa) => {
                    if let Some(holders) = self.pages.get_mut(&(gpa / PAGE)) {
                        *holders &= !bit;
                        if *holders == 0 {
                            self.pages.remove(&(gpa / PAGE));
                        }
                    }
                }
                News::DroppedAll => self.pages.retain(|_, holders| {
                    *holders &= !bit;
                    *holders != 0
                }),
                News::Lost => {
                    self.pages.clear();
                    self.tell(News::Forget);
                }
                News::Written(..) | News::Forget => {}
            }
        }
        news.into_iter().map(|(_, news)| news).collect()
    }
}

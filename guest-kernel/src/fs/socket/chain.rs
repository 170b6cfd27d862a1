//! Chains of shared objects, first in, first out: messages of a socket, connections that
//! nobody has accepted yet, sockets with a name.

use core::cell::RefCell;
use core::iter;

use mm::Shared;

/// The next in a chain.
pub type Next<T> = RefCell<Option<Shared<T>>>;

/// What can be in one chain at a time, by its link for such chains, which `L` names.
pub trait Chained<L>: Sized {
    /// Its link.
    fn next(&self) -> &Next<Self>;
}

/// A chain by the links `L`.
pub struct Chain<T: Chained<L>, L> {
    first: Option<Shared<T>>,
    last: Option<Shared<T>>,
    len: usize,
    links: core::marker::PhantomData<L>,
}

impl<T: Chained<L>, L> Chain<T, L> {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            first: None,
            last: None,
            len: 0,
            links: core::marker::PhantomData,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The first one.
    pub fn first(&self) -> Option<&Shared<T>> {
        self.first.as_ref()
    }

    /// The last one.
    pub fn last(&self) -> Option<&Shared<T>> {
        self.last.as_ref()
    }

    /// All, from the first on.
    pub fn iter(&self) -> impl Iterator<Item = Shared<T>> + use<T, L> {
        iter::successors(self.first.clone(), |one| one.next().borrow().clone())
    }

    /// Appends one that is in no such chain.
    pub fn push(&mut self, one: Shared<T>) {
        match self.last.replace(one.clone()) {
            Some(last) => *last.next().borrow_mut() = Some(one),
            None => self.first = Some(one),
        }
        self.len += 1;
    }

    /// Takes the first one out.
    pub fn pop(&mut self) -> Option<Shared<T>> {
        let first = self.first.take()?;
        self.first = first.next().take();
        if self.first.is_none() {
            self.last = None;
        }
        self.len -= 1;
        Some(first)
    }

    /// Takes this one out, if it is there.
    pub fn remove(&mut self, one: &T) -> Option<Shared<T>> {
        let mut found = None;
        for _ in 0..self.len {
            let next = self.pop()?;
            match core::ptr::eq::<T>(&*next, one) {
                true => found = Some(next),
                false => self.push(next),
            }
        }
        found
    }
}

/// One by one, since each may end with its chain: a long one must not take a long stack.
impl<T: Chained<L>, L> Drop for Chain<T, L> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

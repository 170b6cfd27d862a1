//! Lists whose links lie in their elements: threads and processes are in several at a
//! time, and being put into one can never fail for want of memory.
//!
//! Elements are slots of static tables, so links are plain references. Everything takes a
//! fixed number of steps.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr;

/// What an element of a list has for it.
pub struct Link<T: 'static> {
    next: Cell<Option<&'static T>>,
    previous: Cell<Option<&'static T>>,
    is_linked: Cell<bool>,
}

impl<T> Link<T> {
    /// In no list.
    pub const fn new() -> Self {
        Self {
            next: Cell::new(None),
            previous: Cell::new(None),
            is_linked: Cell::new(false),
        }
    }

    /// Whether the element is in a list.
    pub fn is_linked(&self) -> bool {
        self.is_linked.get()
    }
}

/// Elements of the lists of kind `K`; an element is in at most one of each kind.
pub trait Linked<K>: Sized + 'static {
    /// The element's link for that kind.
    fn link(&self) -> &Link<Self>;
}

/// A list of kind `K`, first in, first out unless asked otherwise.
pub struct List<T: Linked<K>, K> {
    first: Cell<Option<&'static T>>,
    last: Cell<Option<&'static T>>,
    kind: PhantomData<K>,
}

impl<T: Linked<K>, K> List<T, K> {
    /// Without elements.
    pub const fn new() -> Self {
        Self {
            first: Cell::new(None),
            last: Cell::new(None),
            kind: PhantomData,
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.first.get().is_none()
    }

    /// Appends an element that is in no list of this kind.
    ///
    /// # Panics
    /// It is in one.
    pub fn push_back(&self, element: &'static T) {
        let last = self.last.replace(Some(element));
        self.connect(element, last, None);
        match last {
            Some(last) => last.link().next.set(Some(element)),
            None => self.first.set(Some(element)),
        }
    }

    /// Puts an element that is in no list of this kind before all others.
    ///
    /// # Panics
    /// It is in one.
    pub fn push_front(&self, element: &'static T) {
        let first = self.first.replace(Some(element));
        self.connect(element, None, first);
        match first {
            Some(first) => first.link().previous.set(Some(element)),
            None => self.last.set(Some(element)),
        }
    }

    fn connect(&self, element: &'static T, previous: Option<&'static T>, next: Option<&'static T>) {
        let link = element.link();
        assert!(!link.is_linked.replace(true), "in two lists at once");
        link.previous.set(previous);
        link.next.set(next);
    }

    /// The first element.
    pub fn front(&self) -> Option<&'static T> {
        self.first.get()
    }

    /// Takes out the first element.
    pub fn pop_front(&self) -> Option<&'static T> {
        let element = self.first.get()?;
        let link = element.link();
        link.is_linked.set(false);
        let next = link.next.take();
        self.first.set(next);
        match next {
            Some(next) => next.link().previous.set(None),
            None => self.last.set(None),
        }
        Some(element)
    }

    /// Takes out an element of this list; nothing happens if it is in no list.
    pub fn remove(&self, element: &'static T) {
        let link = element.link();
        if !link.is_linked.replace(false) {
            return;
        }
        let (next, previous) = (link.next.take(), link.previous.take());
        match previous {
            Some(previous) => previous.link().next.set(next),
            None => {
                debug_assert!(
                    self.first
                        .get()
                        .is_some_and(|first| ptr::eq(first, element))
                );
                self.first.set(next);
            }
        }
        match next {
            Some(next) => next.link().previous.set(previous),
            None => self.last.set(previous),
        }
    }

    /// The elements in order. The one that was given last may be taken out.
    pub fn iter(&self) -> impl Iterator<Item = &'static T> + use<T, K> {
        let mut next = self.first.get();
        core::iter::from_fn(move || {
            let element = next?;
            next = element.link().next.get();
            Some(element)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Link, Linked, List};

    struct Element {
        number: u32,
        link: Link<Element>,
    }

    struct Numbers;

    impl Linked<Numbers> for Element {
        fn link(&self) -> &Link<Self> {
            &self.link
        }
    }

    fn elements<const N: usize>() -> [&'static Element; N] {
        std::array::from_fn(|number| {
            &*Box::leak(Box::new(Element {
                number: number as u32,
                link: Link::new(),
            }))
        })
    }

    fn numbers(list: &List<Element, Numbers>) -> Vec<u32> {
        list.iter().map(|element| element.number).collect()
    }

    #[test]
    fn first_in_is_first_out() {
        let list = List::new();
        let [a, b, c] = elements();
        list.push_back(b);
        list.push_back(c);
        list.push_front(a);
        assert_eq!(numbers(&list), [0, 1, 2]);
        let popped: Vec<_> = std::iter::from_fn(|| list.pop_front())
            .map(|element| element.number)
            .collect();
        assert_eq!(popped, [0, 1, 2]);
        assert!(list.is_empty() && !a.link.is_linked());
        list.push_back(a);
        assert_eq!(numbers(&list), [0]);
    }

    #[test]
    fn elements_leave_from_any_place() {
        let all = elements::<4>();
        for leaving in 0..4 {
            let list = List::new();
            all.into_iter().for_each(|element| list.push_back(element));
            list.remove(all[leaving]);
            list.remove(all[leaving]);
            let rest: Vec<_> = (0..4).filter(|&number| number != leaving as u32).collect();
            assert_eq!(numbers(&list), rest);
            list.push_back(all[leaving]);
            assert_eq!(numbers(&list).last(), Some(&(leaving as u32)));
            all.into_iter().for_each(|element| list.remove(element));
            assert!(list.is_empty());
        }
    }

    #[test]
    fn the_element_at_hand_may_leave_during_a_walk() {
        let list = List::new();
        elements::<4>()
            .into_iter()
            .for_each(|element| list.push_back(element));
        list.iter()
            .filter(|element| element.number % 2 == 0)
            .for_each(|element| list.remove(element));
        assert_eq!(numbers(&list), [1, 3]);
    }

    #[test]
    #[should_panic(expected = "in two lists at once")]
    fn an_element_is_in_one_list_of_a_kind() {
        let [element] = elements();
        let (one, other) = (List::new(), List::new());
        one.push_back(element);
        other.push_back(element);
    }
}

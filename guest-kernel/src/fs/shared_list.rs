//! Lists of [`Shared`] objects whose links lie in the objects: to be put into one can never
//! fail, and to be taken out takes a fixed number of steps. A list owns its elements.

use core::cell::{Cell, RefCell};
use core::marker::PhantomData;

use mm::Shared;

/// What an element has for a list.
pub struct Link<T> {
    next: RefCell<Option<Shared<T>>>,
    /// Owned too: nobody drops an element that is in a list without taking it out.
    previous: RefCell<Option<Shared<T>>>,
    is_linked: Cell<bool>,
}

impl<T> Link<T> {
    /// In no list.
    pub const fn new() -> Self {
        Self {
            next: RefCell::new(None),
            previous: RefCell::new(None),
            is_linked: Cell::new(false),
        }
    }

    /// Whether it is in a list.
    pub fn is_linked(&self) -> bool {
        self.is_linked.get()
    }
}

/// An element of lists of kind `K`.
pub trait Linked<K>: Sized {
    /// What it has for them.
    fn link(&self) -> &Link<Self>;
}

/// A list, in order.
pub struct SharedList<T: Linked<K>, K> {
    first: RefCell<Option<Shared<T>>>,
    last: RefCell<Option<Shared<T>>>,
    len: Cell<usize>,
    kind: PhantomData<K>,
}

impl<T: Linked<K>, K> SharedList<T, K> {
    /// No elements.
    pub const fn new() -> Self {
        Self {
            first: RefCell::new(None),
            last: RefCell::new(None),
            len: Cell::new(0),
            kind: PhantomData,
        }
    }

    /// Whether it has no elements.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// How many it has.
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// The first element.
    pub fn first(&self) -> Option<Shared<T>> {
        self.first.borrow().clone()
    }

    /// The last element.
    pub fn last(&self) -> Option<Shared<T>> {
        self.last.borrow().clone()
    }

    /// The element after this one of the list.
    pub fn after(element: &T) -> Option<Shared<T>> {
        element.link().next.borrow().clone()
    }

    /// The element before this one of the list.
    pub fn before(element: &T) -> Option<Shared<T>> {
        element.link().previous.borrow().clone()
    }

    /// Puts an element that is in no such list at the end.
    pub fn push_back(&self, element: Shared<T>) {
        self.note(&element);
        let last = self.last.replace(Some(element.clone()));
        match &last {
            Some(last) => last.link().next.replace(Some(element.clone())),
            None => self.first.replace(Some(element.clone())),
        };
        *element.link().previous.borrow_mut() = last;
    }

    /// Puts an element that is in no such list in front.
    pub fn push_front(&self, element: Shared<T>) {
        self.note(&element);
        let first = self.first.replace(Some(element.clone()));
        match &first {
            Some(first) => first.link().previous.replace(Some(element.clone())),
            None => self.last.replace(Some(element.clone())),
        };
        *element.link().next.borrow_mut() = first;
    }

    fn note(&self, element: &T) {
        assert!(!element.link().is_linked.replace(true), "in two lists");
        self.len.set(self.len.get() + 1);
    }

    /// Takes out an element of this list; nothing happens if it is in none.
    pub fn remove(&self, element: &T) {
        let link = element.link();
        if !link.is_linked.replace(false) {
            return;
        }
        self.len.set(self.len.get() - 1);
        let (next, previous) = (link.next.take(), link.previous.take());
        let from_previous = match &previous {
            Some(previous) => previous.link().next.replace(next.clone()),
            None => self.first.replace(next.clone()),
        };
        let from_next = match &next {
            Some(next) => next.link().previous.replace(previous),
            None => self.last.replace(previous),
        };
        // What may be its last owners go when nothing is borrowed.
        drop((from_previous, from_next));
    }

    /// Takes out the first element.
    pub fn pop_front(&self) -> Option<Shared<T>> {
        let first = self.first()?;
        self.remove(&first);
        Some(first)
    }
}

impl<T: Linked<K>, K> Drop for SharedList<T, K> {
    fn drop(&mut self) {
        // One by one: the elements own each other.
        while self.pop_front().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::{Link, Linked, SharedList};
    use mm::{Shared, frames};

    struct Element {
        number: u32,
        link: Link<Element>,
    }

    impl Linked<()> for Element {
        fn link(&self) -> &Link<Self> {
            &self.link
        }
    }

    fn element(number: u32) -> Shared<Element> {
        Shared::new(Element {
            number,
            link: Link::new(),
        })
        .expect("there is memory")
    }

    fn numbers(list: &SharedList<Element, ()>) -> Vec<u32> {
        let next = |element: &Shared<Element>| SharedList::<Element, ()>::after(element);
        let all = std::iter::successors(list.first(), next);
        all.map(|element| element.number).collect()
    }

    #[test]
    fn elements_stay_in_order_and_go_with_the_list() {
        let before = frames::free();
        let list = SharedList::new();
        let elements: Vec<_> = (0..5).map(element).collect();
        for element in &elements[1..] {
            list.push_back(element.clone());
        }
        list.push_front(elements[0].clone());
        assert_eq!((numbers(&list), list.len()), (vec![0, 1, 2, 3, 4], 5));
        for number in [2, 0, 4, 4] {
            list.remove(&elements[number]);
        }
        assert_eq!(numbers(&list), [1, 3]);
        assert_eq!(list.pop_front().map(|element| element.number), Some(1));
        list.push_back(elements[1].clone());
        assert_eq!(numbers(&list), [3, 1]);
        drop((list, elements));
        assert_eq!(frames::free(), before);
    }

    #[test]
    fn a_long_list_goes_in_few_steps_of_the_stack() {
        let list = SharedList::new();
        (0..20_000).for_each(|number| list.push_back(element(number)));
        drop(list);
    }
}

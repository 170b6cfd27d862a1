//! Address spaces against a model that knows each page by itself.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::*;

/// What a page is, as the model sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Page {
    access: Access,
    shared: bool,
    byte: u8,
}

type Model = BTreeMap<u64, Page>;

const PAGES: u64 = 40;

fn any_range(random: &mut Rng) -> (u64, u64) {
    let start = random.u64(..PAGES);
    (start, 1 + random.u64(..8))
}

fn any_access(random: &mut Rng) -> Access {
    let all = [
        Access::empty(),
        READ,
        READ_WRITE,
        READ_WRITE,
        Access::EXECUTE,
    ];
    all[random.usize(..all.len())]
}

fn check(space: &AddressSpace, model: &Model, number: u64) {
    let expected = match model.get(&number) {
        None => Err(FaultCause::NotMapped),
        Some(page) if page.access.is_empty() => Err(FaultCause::Forbidden),
        Some(page) => Ok(page.byte),
    };
    assert_eq!(read(space, page(number)), expected, "page {number}");
}

fn change_one(random: &mut Rng, space: &AddressSpace, model: &mut Model) {
    let (start, count) = any_range(random);
    let pages = start..start + count;
    let (address, len) = (page(start), count * PAGE_SIZE);
    match random.u64(..6) {
        0 | 1 => {
            let shared = random.u64(..4) == 0;
            let backing = if shared {
                Backing::Shared(MayWrite(true))
            } else {
                Backing::Zero
            };
            let access = any_access(random);
            let place = Place::Replace(address);
            let mapped = space.map(request(place, count, access, backing));
            assert_eq!(mapped, Ok(address));
            let new = Page {
                access,
                shared,
                byte: 0,
            };
            model.extend(pages.map(|page| (page, new)));
        }
        2 => {
            assert_eq!(space.unmap(address, len), Ok(()));
            model.retain(|page, _| !pages.contains(page));
        }
        3 => {
            let access = any_access(random);
            let is_mapped = pages.clone().all(|page| model.contains_key(&page));
            let expected = if is_mapped {
                Ok(())
            } else {
                Err(Errno::ENOMEM)
            };
            assert_eq!(space.protect(address, len, access), expected);
            for number in pages {
                match model.get_mut(&number) {
                    Some(page) => page.access = access,
                    None => break,
                }
            }
        }
        4 => {
            let is_mapped = pages.clone().all(|page| model.contains_key(&page));
            assert_eq!(
                space.discard(address, len, Discarded::Unlocked).is_ok(),
                is_mapped
            );
            for (_, page) in model.range_mut(pages).filter(|(_, page)| !page.shared) {
                page.byte = 0;
            }
        }
        _ => {
            let byte = random.u8(1..);
            let result = write(space, address, byte);
            match model.get_mut(&start) {
                None => assert_eq!(result, Err(FaultCause::NotMapped)),
                Some(page) if page.access.contains(Access::WRITE) => {
                    assert_eq!(result, Ok(()));
                    page.byte = byte;
                }
                Some(_) => assert_eq!(result, Err(FaultCause::Forbidden)),
            }
        }
    }
}

/// A family of address spaces that fork, change and end in any order.
#[test]
fn families_of_address_spaces_behave_as_if_copied() {
    let before = frames::free();
    for seed in 0..6 {
        let mut random = Rng::with_seed(seed);
        let mut family = vec![(space(), Model::new())];
        for _ in 0..1500 {
            let index = random.usize(..family.len());
            match random.u64(..60) {
                0 if family.len() < 5 => {
                    let (space, model) = &family[index];
                    // What is shared from now on is a matter of the page tables' tests:
                    // here a child has copies only.
                    let has_shared = model.values().any(|page| page.shared);
                    if !has_shared {
                        let child = space.fork().expect("there is memory");
                        let model = model.clone();
                        family.push((child, model));
                    }
                }
                1 if family.len() > 1 => drop(family.swap_remove(index)),
                2 => {
                    let (space, model) = &mut family[index];
                    assert_eq!(space.unmap(BASE, 2 * PAGES * PAGE_SIZE), Ok(()));
                    model.clear();
                    assert_eq!(area_count(space), 1);
                }
                _ => {
                    let (space, model) = &mut family[index];
                    change_one(&mut random, space, model);
                }
            }
            let index = random.usize(..family.len());
            let (space, model) = &family[index];
            check(space, model, random.u64(..PAGES + 8));
            let size = (model.len() as u64 + 1) * PAGE_SIZE;
            assert_eq!(space.size(), size);
        }
        for (space, model) in &family {
            (0..PAGES + 8).for_each(|page| check(space, model, page));
        }
        drop(family);
        assert_eq!(frames::free(), before, "seed {seed}");
    }
}

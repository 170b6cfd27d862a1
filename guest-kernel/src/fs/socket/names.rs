//! Sockets that others find: by a name of this machine, or by a port. They are in chains by a
//! hash of that.

use core::cell::RefCell;

use arch::clock;
use mm::Shared;

use crate::fs::socket::address::{Address, UnixName};
use crate::fs::socket::chain::Chain;
use crate::fs::socket::endpoint::{Bound, Endpoint, Family, Stage, Style};

const CHAINS: usize = 64;

/// Sockets that others can be kept from a port by when they are closed: beyond these, ports
/// are free at once.
const MOST_LINGERING: usize = 64;

type Names = [RefCell<Chain<Endpoint, Bound>>; CHAINS];

#[cfg(not(test))]
fn with<R>(use_names: impl FnOnce(&Names) -> R) -> R {
    static NAMES: single_cpu::SingleCpu<Names> =
        single_cpu::SingleCpu::new([const { RefCell::new(Chain::new()) }; CHAINS]);
    use_names(&NAMES)
}

// Tests run at the same time and each has its own.
#[cfg(test)]
fn with<R>(use_names: impl FnOnce(&Names) -> R) -> R {
    std::thread_local! {
        static NAMES: Names = const { [const { RefCell::new(Chain::new()) }; CHAINS] };
    }
    NAMES.with(use_names)
}

fn hash(name: &Address) -> Option<usize> {
    Some(match name {
        Address::Unix(name) => unix_hash(name),
        Address::Inet(address) => usize::from(address.port) % CHAINS,
        Address::None | Address::Netlink(_) => return None,
    })
}

fn unix_hash(name: &UnixName) -> usize {
    let number = match &name.node {
        Some(node) => node.number(),
        None => name.bytes().iter().fold(0, |hash: u64, &byte| {
            hash * 31 % 0xffff_fffb + u64::from(byte)
        }),
    };
    (number % CHAINS as u64) as usize
}

/// Lets others find `endpoint` by its name.
pub fn insert(endpoint: &Shared<Endpoint>) {
    if let Some(chain) = hash(&endpoint.name()) {
        prune(chain);
        with(|names| names[chain].borrow_mut().push(endpoint.clone()));
    }
}

/// The same for a connection that has been accepted: its port is taken.
pub fn insert_connection(endpoint: &Shared<Endpoint>) {
    if endpoint.family != Family::Unix {
        insert(endpoint);
    }
}

/// Lets nobody find it any more.
pub fn remove(endpoint: &Endpoint) {
    if let Some(chain) = hash(&endpoint.name()) {
        let removed = with(|names| names[chain].borrow_mut().remove(endpoint));
        drop(removed);
    }
}

/// Leaves a closed socket to be found until `end`, in nanoseconds after boot, if there are
/// not too many of them.
pub fn linger(endpoint: &Endpoint, end: u64) {
    let all = with(|names| {
        let is_lingering = |endpoint: &Shared<Endpoint>| matches!(endpoint.stage.get(), Stage::Lingers(end) if end > clock::now_ns());
        let chains = names.iter().map(|chain| chain.borrow().iter());
        chains.flatten().filter(is_lingering).count()
    });
    match all < MOST_LINGERING {
        true => endpoint.stage.set(Stage::Lingers(end)),
        false => remove(endpoint),
    }
}

/// Removes those from a chain whose time is over.
fn prune(chain: usize) {
    let all = with(|names| names[chain].borrow().iter());
    for endpoint in all {
        if matches!(endpoint.stage.get(), Stage::Lingers(end) if end <= clock::now_ns()) {
            remove(&endpoint);
        }
    }
}

/// The Unix socket with this name: of this style, if the name is not a path.
pub fn unix(name: &UnixName, style: Style) -> Option<Shared<Endpoint>> {
    let is_it = |other: &UnixName, other_style| match (&name.node, &other.node) {
        (Some(node), Some(other)) => Shared::is_same(node, other),
        (None, None) => name.bytes() == other.bytes() && style == other_style,
        _ => false,
    };
    let mut chain = with(|names| names[unix_hash(name)].borrow().iter());
    chain.find(|endpoint| match &*endpoint.name.borrow() {
        Address::Unix(other) => is_it(other, endpoint.style),
        _ => false,
    })
}

/// Lets those look again that wait to connect, since somebody who listens has room or has
/// gone.
pub fn tell_connecting() {
    for chain in 0..CHAINS {
        let all = with(|names| names[chain].borrow().iter());
        all.filter(|endpoint| endpoint.stage.get() == Stage::Connecting)
            .for_each(|endpoint| endpoint.changed());
    }
}

/// The sockets of a protocol that have this port.
pub fn of_port(protocol: u32, port: u16) -> impl Iterator<Item = Shared<Endpoint>> {
    let chain = usize::from(port) % CHAINS;
    prune(chain);
    let all = with(|names| names[chain].borrow().iter());
    all.filter(move |endpoint| {
        let has_port = |address: &Address| address.inet().is_some_and(|it| it.port == port);
        endpoint.protocol == protocol && has_port(&endpoint.name.borrow())
    })
}

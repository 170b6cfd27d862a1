//! Which sockets there are, by the numbers that programs give.

use abi::Errno;
use linux_raw_sys::net as linux;

use crate::fs::socket::endpoint::{Family, Style};
use crate::fs::socket::{tcp, udp};

/// What the arguments of `socket` mean; the protocol is a number of IP's, or 0.
///
/// # Errors
/// EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT, EINVAL.
pub fn parse(family: u32, style: u32, protocol: u32) -> Result<(Family, Style, u32), Errno> {
    /// Beyond the numbers of styles.
    const STYLES: u32 = 11;
    if style >= STYLES {
        return Err(Errno::EINVAL);
    }
    let unknown = Errno::EPROTONOSUPPORT;
    match family {
        linux::AF_UNIX => {
            if protocol != 0 && protocol != linux::AF_UNIX {
                return Err(unknown);
            }
            let style = match style {
                linux::SOCK_STREAM => Style::Stream,
                linux::SOCK_DGRAM | linux::SOCK_RAW => Style::Datagram,
                linux::SOCK_SEQPACKET => Style::Sequence,
                _ => return Err(Errno::ESOCKTNOSUPPORT),
            };
            Ok((Family::Unix, style, 0))
        }
        linux::AF_INET | linux::AF_INET6 => {
            let family = match family {
                linux::AF_INET => Family::Inet4,
                _ => Family::Inet6,
            };
            match (style, protocol) {
                (linux::SOCK_STREAM, 0 | tcp::PROTOCOL) => {
                    Ok((family, Style::Stream, tcp::PROTOCOL))
                }
                (linux::SOCK_DGRAM, 0 | udp::PROTOCOL) => {
                    Ok((family, Style::Datagram, udp::PROTOCOL))
                }
                (linux::SOCK_STREAM | linux::SOCK_DGRAM | linux::SOCK_RAW, _) => Err(unknown),
                _ => Err(Errno::ESOCKTNOSUPPORT),
            }
        }
        linux::AF_NETLINK => match (style, protocol) {
            (linux::SOCK_RAW | linux::SOCK_DGRAM, 0) => Ok((Family::Netlink, Style::Datagram, 0)),
            (linux::SOCK_RAW | linux::SOCK_DGRAM, _) => Err(unknown),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        },
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

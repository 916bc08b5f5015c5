//! One TCP connection to whichever address answers first (happy eyeballs, RFC 8305).

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpStream;

use super::fetch::Course;
use crate::core::{Faculties, Part, Why};

/// How long one address is given before the next one is tried beside it (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// More addresses than this are not tried: the deadline would not allow for them.
const MAX_ADDRESSES: usize = 8;

/// Connects to the first of `addresses` that answers; tells `course` which address families it depends on.
///
/// On failure these are the families of the most telling failure; until then those of that failure and of the attempts still pending,
/// for whatever interrupts them: where one family is refused and the other stays silent, either may be the one that works from here.
pub(super) async fn connect(addresses: &[IpAddr], port: u16, course: &mut Course) -> Result<TcpStream, Why> {
    let before = course.used;
    let mut queue = interleaved(addresses).into_iter().peekable();
    let mut attempts = FuturesUnordered::new();
    let mut pending = HashSet::new();
    let mut failure: Option<(Why, Faculties)> = None;
    loop {
        if let Some(address) = queue.next() {
            pending.insert(address);
            attempts.push(async move { (address, TcpStream::connect(SocketAddr::new(address, port)).await) });
        }
        if attempts.is_empty() {
            let (why, families) = failure.unwrap_or((Why::Unreachable, Faculties::default()));
            course.used = before.union(families);
            return Err(why);
        }
        let failed = failure.map_or(before, |(_, families)| before.union(families));
        course.used = pending
            .iter()
            .fold(failed, |used, &address| used.union(family(address)));
        // Cancel-safe: attempts stay in the set when the stagger wins, and the stagger is begun anew.
        tokio::select! {
            Some((address, result)) = attempts.next() => match result {
                Ok(stream) => {
                    course.used = before.union(family(address));
                    return Ok(stream);
                }
                Err(error) => {
                    pending.remove(&address);
                    failure = Some(more_telling(failure, (why(&error), family(address))));
                }
            },
            () = tokio::time::sleep(STAGGER), if queue.peek().is_some() => {}
        }
    }
}

/// Families take turns, beginning with the one that the resolver names first; nothing twice.
fn interleaved(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut seen = HashSet::new();
    let leads_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut lead, mut follow) = (Vec::new(), Vec::new());
    for &address in addresses {
        if seen.insert(address) {
            let side = if address.is_ipv6() == leads_v6 {
                &mut lead
            } else {
                &mut follow
            };
            side.push(address);
        }
    }
    let mut follow = follow.into_iter();
    let mut turns = Vec::with_capacity(seen.len());
    for address in lead {
        turns.push(address);
        turns.extend(follow.next());
    }
    turns.extend(follow);
    turns.truncate(MAX_ADDRESSES);
    turns
}

fn family(address: IpAddr) -> Faculties {
    Faculties {
        ipv4: address.is_ipv4(),
        ipv6: address.is_ipv6(),
        ..Faculties::default()
    }
}

fn why(error: &io::Error) -> Why {
    match error.kind() {
        ErrorKind::ConnectionRefused => Why::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Why::Reset,
        ErrorKind::TimedOut => Why::Timeout(Part::Connect),
        _ => Why::Unreachable,
    }
}

/// What a box answered tells more than silence, and silence more than our own lack of a route.
fn more_telling(known: Option<(Why, Faculties)>, new: (Why, Faculties)) -> (Why, Faculties) {
    let rank = |why: Why| match why {
        Why::Refused | Why::Reset => 2,
        Why::Timeout(_) => 1,
        _ => 0,
    };
    match known {
        Some(known) if rank(known.0) > rank(new.0) => known,
        Some(known) if rank(known.0) == rank(new.0) => (known.0, known.1.union(new.1)),
        _ => new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn address_families_take_turns() {
        let turns = interleaved(&[ip("::1"), ip("::2"), ip("::1"), ip("10.0.0.1"), ip("::3")]);
        assert_eq!(turns, [ip("::1"), ip("10.0.0.1"), ip("::2"), ip("::3")]);
        let many: Vec<IpAddr> = (0..20).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        assert_eq!(interleaved(&many).len(), MAX_ADDRESSES);
    }

    #[test]
    fn a_refusal_tells_more_than_our_own_lack_of_a_route() {
        let v4 = (Why::Refused, family(ip("10.0.0.1")));
        let v6 = (Why::Unreachable, family(ip("::1")));
        assert_eq!(more_telling(Some(v4), v6), v4);
        assert_eq!(more_telling(Some(v6), v4), v4);
        let both = more_telling(Some(v4), (Why::Refused, family(ip("::1"))));
        assert!(both.1.ipv4 && both.1.ipv6);
    }
}

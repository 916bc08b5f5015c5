//! Name look-ups, at most one in flight per name.
//!
//! The system's resolver blocks a thread for as long as it likes, whatever our deadlines say. So a second try for the same name waits
//! for the first one's answer instead of taking another thread.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;
type Found = Result<Arc<[IpAddr]>, Unresolved>;
type InFlight = Arc<Mutex<HashMap<String, watch::Receiver<Option<Found>>>>>;

/// The name has no address, or the resolver says that it cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name does not resolve")]
pub struct Unresolved;

/// Looks names up. Clones share the look-ups in flight: make one per process.
#[derive(Clone)]
pub struct Resolver {
    lookup: Arc<Lookup>,
    in_flight: InFlight,
}

impl Default for Resolver {
    /// The system's resolver.
    fn default() -> Self {
        Self::with(|host| Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver by another means, which may block.
    pub fn with(lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self {
            lookup: Arc::new(lookup),
            in_flight: InFlight::default(),
        }
    }

    /// The addresses of `host`, at least one. An address is its own answer. Waits as long as the resolver does: give it a deadline.
    pub async fn resolve(&self, host: &str) -> Found {
        if let Ok(address) = host.parse() {
            return Ok(Arc::new([address]));
        }
        let mut answer = self.join(host);
        match answer.wait_for(Option::is_some).await {
            Ok(found) => found.clone().unwrap_or(Err(Unresolved)),
            Err(_) => Err(Unresolved),
        }
    }

    /// The look-up of `host` that is in flight, or a new one.
    fn join(&self, host: &str) -> watch::Receiver<Option<Found>> {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = in_flight.get(host)
            && answer.has_changed().is_ok()
        {
            return answer.clone();
        }
        let (tell, answer) = watch::channel(None);
        in_flight.insert(host.to_owned(), answer.clone());
        drop(in_flight);
        let (lookup, in_flight, host) = (Arc::clone(&self.lookup), Arc::clone(&self.in_flight), host.to_owned());
        tokio::task::spawn_blocking(move || {
            let found = match lookup(&host) {
                Ok(addresses) if !addresses.is_empty() => Ok(addresses.into()),
                Ok(_) | Err(_) => Err(Unresolved),
            };
            // Nobody may join an answered look-up: its answer would grow stale.
            in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&host);
            tell.send_replace(Some(found));
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_resolver() {
        let resolver = Resolver::with(|_| Err(io::Error::other("must not be asked")));
        assert_eq!(
            resolver.resolve("::1").await.expect("itself")[..],
            ["::1".parse::<IpAddr>().expect("an address")]
        );
        assert_eq!(resolver.resolve("a.example").await, Err(Unresolved));
    }

    #[tokio::test]
    async fn a_second_look_up_joins_the_one_in_flight_and_a_later_one_starts_anew() {
        let (answer, answers) = mpsc::channel::<IpAddr>();
        let answers = Mutex::new(answers);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let resolver = Resolver::with(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let address = answers.lock().expect("not poisoned").recv();
            address.map(|address| vec![address]).map_err(io::Error::other)
        });
        let gave_up = tokio::time::timeout(Duration::from_millis(1), resolver.resolve("a.example")).await;
        assert!(gave_up.is_err(), "the first one hangs beyond its deadline");
        let (second, ()) = tokio::join!(resolver.resolve("a.example"), async {
            answer.send([127, 0, 0, 1].into()).expect("a look-up waits");
        });
        assert!(second.is_ok());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        answer.send([127, 0, 0, 2].into()).expect("the resolver lives");
        assert_eq!(
            resolver.resolve("a.example").await.expect("an address")[..],
            [IpAddr::from([127, 0, 0, 2])]
        );
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}

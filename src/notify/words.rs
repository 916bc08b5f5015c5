//! Every notice in plain words: what happened, what it means for visitors, what pilotlight does next, what the owner may do.

use serde::{Deserialize, Serialize};

use crate::clock::{in_words, rfc3339};
use crate::core::{Cause, FailureKind, Position, Role, Route, ToggleKey, What};

/// A notice for people. Four whole sentences or more, none empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// What happened, short enough for a subject line.
    pub summary: String,
    /// What it means for visitors.
    pub meaning: String,
    /// What pilotlight does next.
    pub next: String,
    /// What the owner may do.
    pub advice: String,
}

impl Words {
    /// The words for what happened.
    #[expect(
        clippy::too_many_lines,
        reason = "a table: one entry per notice, and the compiler knows when one is missing"
    )]
    pub fn of(what: &What) -> Self {
        match what {
            // From the first suspicion to the standby.
            What::Suspected { cause } => Self::new(
                format!("Home may be down: {}.", cause.in_words()),
                "Visitors may see errors for a moment.",
                "Pilotlight asks home again in quick succession and sends visitors to the standby if it stays dark.",
                "If you are working on home, pause pilotlight.",
            ),
            What::SuspicionCleared { lasted } => Self::new(
                format!("Home answers again after {}; it was not a failure.", in_words(*lasted)),
                "Visitors are served by home and were never sent elsewhere.",
                "Pilotlight goes on watching home.",
                NOTHING,
            ),
            What::FailoverStarted { cause, after } => Self::new(
                format!(
                    "Home has been down for {}: {}. Switching to the standby.",
                    in_words(*after),
                    cause.in_words()
                ),
                "Visitors see errors until the switch is through, usually for less than a minute.",
                "Pilotlight opens the standby, proves that it answers and turns the redirect on.",
                look_at_home(*cause),
            ),
            What::FailedOver { after } => Self::new(
                format!("Visitors reach the standby, {} after home went dark.", in_words(*after)),
                "Visitors are served by the standby.",
                "Pilotlight goes on asking home and brings visitors back once home is well for long enough.",
                "Repair home at leisure; the standby costs money while it serves.",
            ),
            What::PartlySwitched => Self::new(
                "The redirect is on although the standby still refuses visitors.",
                "Visitors are sent to the standby and get a refusal there until it opens; home is dark anyway.",
                "Pilotlight keeps opening the standby; it serves as soon as the provider lets visitors in.",
                "Look at the standby's access rights at the provider.",
            ),
            What::StandbyBroken { held: true } => Self::new(
                "The standby is broken, so visitors are not sent there.",
                "Visitors see home's errors: neither home nor the standby serves them.",
                "Pilotlight keeps trying and switches as soon as the standby answers well.",
                "Repair the standby or home; a failover by hand sends visitors to the standby all the same.",
            ),
            What::StandbyBroken { held: false } => Self::new(
                "The standby is broken while visitors are, or shall be, sent there.",
                "Visitors may see errors from the standby.",
                "Pilotlight keeps asking both home and the standby.",
                "Repair the standby: look at its log and its certificate.",
            ),
            What::StandbyMended => Self::new(
                "The standby answers well again.",
                "Visitors who are sent to the standby are served.",
                "Pilotlight goes on with the switch where it stood.",
                NOTHING,
            ),
            // From home's first answer to the end of the outage.
            What::Recovering { up_for } => Self::new(
                format!(
                    "Home answers again; visitors go back after {} without a failure.",
                    in_words(*up_for)
                ),
                "Visitors are still served by the standby.",
                "Pilotlight watches whether home stays up.",
                "To bring visitors home at once, order a failback.",
            ),
            What::Relapsed { cause } => Self::new(
                format!(
                    "Home went dark again before visitors were brought back: {}.",
                    cause.in_words()
                ),
                "Visitors stay with the standby and notice nothing.",
                "Pilotlight starts the countdown anew when home answers.",
                look_at_home(*cause),
            ),
            What::FailbackStarted => Self::new(
                "Home is well; bringing visitors back.",
                "Visitors are served by home as soon as the redirect is off; the standby stays open meanwhile.",
                "Pilotlight turns the redirect off and proves home at the public address.",
                NOTHING,
            ),
            What::BackHome { after } => Self::new(
                format!(
                    "Visitors are served by home again, {} after it went dark.",
                    in_words(*after)
                ),
                "Visitors are at home.",
                "Pilotlight keeps the standby open for a while, for visitors who still go there, and then closes it.",
                NOTHING,
            ),
            What::EpisodeOver { lasted } => Self::new(
                format!(
                    "The outage is over: home serves, the standby is closed. It all took {}.",
                    in_words(*lasted)
                ),
                "Visitors are served by home.",
                "Pilotlight goes on watching home.",
                "See in the log what home died of.",
            ),
            What::RolledBack { up_for } => Self::new(
                "Home did not prove itself at the public address; visitors are sent to the standby again.",
                "Visitors are served by the standby; for a moment some may have seen home's errors.",
                format!("Pilotlight tries again after {} of quiet at home.", in_words(*up_for)),
                "Open the public address yourself: home answers the probe, but not visitors.",
            ),
            What::BackForVisitorsOnly { cause } => Self::new(
                format!(
                    "Home seems to be back for visitors but not for the watcher: {}.",
                    cause.in_words()
                ),
                "Visitors are still sent to the standby.",
                "Pilotlight stays with the standby until the watcher's own look at home succeeds.",
                "Look at home's certificate and address; if home is well, order a failback.",
            ),
            // What concerns one of the remote switches.
            What::Stuck { toggle, desired, kind } => Self::new(
                format!(
                    "{} cannot be turned {}: {}.",
                    capital(&name(*toggle)),
                    desired.label(),
                    reason(*kind)
                ),
                meaning_when_stuck(toggle.role, *desired),
                "Pilotlight keeps trying, more and more slowly.",
                remedy(*kind),
            ),
            What::Unstuck { toggle } => Self::new(
                format!("{} can be turned again.", capital(&name(*toggle))),
                "Visitors go where they should as far as this switch is concerned.",
                "Pilotlight goes on where it stood.",
                NOTHING,
            ),
            What::Unverified { route: Route::Standby } => Self::new(
                "The switch to the standby is made, but the public address does not show the standby.",
                "Visitors may still be sent to home, which is dark.",
                "Pilotlight keeps looking from a visitor's seat and keeps the switch on.",
                "Open the public address yourself; look for a cache or a second rule in front of the redirect.",
            ),
            What::Unverified { route: Route::Origin } => Self::new(
                "The switch back is made, but the public address does not show home.",
                "Visitors may still be sent to the standby, or see errors.",
                "Pilotlight sends them back to the standby if home stays unproven.",
                "Open the public address yourself; look at the edge's settings.",
            ),
            What::RedirectLoop => Self::new(
                "The redirect led back to itself and was turned off.",
                "Visitors saw a redirect error; now they reach home's address, dark or not.",
                "Pilotlight leaves the redirect off and goes on watching home.",
                "Correct the redirect rule: the standby's host must not be among the hosts it catches.",
            ),
            What::Drifted {
                toggle,
                found,
                repaired,
            } => Self::new(
                format!("Somebody else turned {} {}.", name(*toggle), found.label()),
                "Visitors may be sent to another place than home's state calls for.",
                if *repaired {
                    "Pilotlight puts it back."
                } else {
                    "Pilotlight leaves it as it is, as configured."
                },
                "If this was you, pause pilotlight or give it an order instead.",
            ),
            What::DriftLimit { toggle } => Self::new(
                format!("{} is moved by somebody else again and again.", capital(&name(*toggle))),
                "Visitors may be sent to another place than home's state calls for.",
                "Pilotlight leaves it alone for now instead of fighting.",
                "Find the other hand: a second watcher, a script, a colleague.",
            ),
            What::Edited { toggle } => Self::new(
                format!("Somebody edited {} in another way than on or off.", name(*toggle)),
                "Visitors may be sent to another place than the standby in the next outage.",
                "Pilotlight goes on using it as it is now.",
                "Compare it with pilotlight's config; correct one of the two.",
            ),
            What::Orphan => Self::new(
                "The standby was found open although home serves.",
                "Visitors are served by home and notice nothing; an open standby can cost money.",
                "Pilotlight closes the standby.",
                "If you opened it on purpose, pause pilotlight.",
            ),
            What::GateLeaks => Self::new(
                "The standby lets visitors in although its own access list is closed.",
                "Visitors are served by home; who knows the standby's address can use it, and that can cost money.",
                "Pilotlight goes on; it cannot close what it did not open.",
                "Look for a grant inherited from the project or the organisation.",
            ),
            // What concerns the watcher itself.
            What::Adopted => Self::new(
                "At the start visitors were found to be sent to the standby, and nothing was remembered about it.",
                "Visitors are served by the standby.",
                "Pilotlight takes this for an outage and brings visitors home once home is well for long enough.",
                "If you turned the redirect on yourself for good, pause pilotlight.",
            ),
            What::FoundOff => Self::new(
                "At the start the redirect was found off although visitors had been sent to the standby.",
                "Visitors are sent to home, dark or not.",
                "Pilotlight watches home afresh and switches again if it is dark.",
                "If this was not you, look for who turned the redirect off.",
            ),
            What::Blind { cause } => Self::new(
                format!("Nothing can be said of home for ten minutes: {}.", cause.in_words()),
                "Visitors are probably served as before; nothing is switched.",
                "Pilotlight holds everything as it is until it sees again.",
                "Look at the watcher's own network and clock.",
            ),
            What::SeesAgain => Self::new(
                "The watcher sees again.",
                "Visitors go where they went before.",
                "Pilotlight goes on watching home.",
                NOTHING,
            ),
            What::OwnPathBroken => Self::new(
                "The watcher cannot reach home, yet visitors are served by it.",
                UNTOUCHED,
                "Pilotlight switches nothing and looks more often from a visitor's seat.",
                "Look at the path between the watcher and home: firewall, address, provider.",
            ),
            What::VisitorEyeBlocked => Self::new(
                "For an hour the edge has answered the watcher's visits with a bot challenge.",
                "Visitors are not affected, but whether they reach home or the standby can no longer be proven.",
                "Pilotlight decides by its probes of home alone.",
                "Let the watcher's address or user agent pass at the edge.",
            ),
            What::Overridden {
                route,
                until,
                author,
                reason,
            } => Self::new(
                overridden(*route, author, reason),
                match route {
                    Some(Route::Standby) => "Visitors are sent to the standby, whether home is well or not.",
                    Some(Route::Origin) => "Visitors are sent to home, whether it is well or not.",
                    None => "Visitors stay where they are, whatever happens to home.",
                },
                format!(
                    "Pilotlight goes on watching and takes over again at {}.",
                    rfc3339(*until)
                ),
                "To give command back earlier, order a resume; to prolong it, repeat the order.",
            ),
            What::OverrideEnded { expired } => Self::new(
                if *expired {
                    "The operator's order has run out; pilotlight decides again between home and the standby."
                } else {
                    "The operator gave command back; pilotlight decides again between home and the standby."
                },
                "Visitors are sent where home's state calls for.",
                "Pilotlight switches if it has to.",
                NOTHING,
            ),
            What::SaveFailed => Self::new(
                "The state could not be saved in time.",
                UNTOUCHED,
                "Pilotlight acts from memory between home and the standby; a restart now would make it look afresh.",
                "Look at the disk that holds the state directory: full, slow or read-only?",
            ),
            What::SaveWorks => Self::new(
                "The state can be saved again.",
                UNTOUCHED,
                "Pilotlight goes on watching home.",
                NOTHING,
            ),
            What::StateSetAside => Self::new(
                "The saved state could not be read and was set aside.",
                "Visitors stay where they are: home or the standby, as found.",
                "Pilotlight reads the switches and starts afresh from what it finds.",
                "Look at the file that ends in .broken in the state directory, and at the disk.",
            ),
        }
    }

    fn new(summary: impl Into<String>, meaning: &str, next: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            meaning: meaning.to_owned(),
            next: next.into(),
            advice: advice.into(),
        }
    }
}

const NOTHING: &str = "There is nothing to do.";
const UNTOUCHED: &str = "Visitors notice nothing.";

fn overridden(route: Option<Route>, author: &str, reason: &str) -> String {
    let done = match route {
        Some(Route::Standby) => "sent visitors to the standby",
        Some(Route::Origin) => "sent visitors home",
        None => "paused all switching between home and the standby",
    };
    format!("{author} {done}: {reason}.")
}

fn look_at_home(cause: Cause) -> &'static str {
    match cause {
        Cause::Origin(why) => match why.label() {
            "certificate" => "Renew home's certificate.",
            "refused" | "status" | "body" | "protocol" => "The box at home is up: look at its web server.",
            "dns" => "Look at home's DNS entry and at dynamic DNS.",
            _ => "Look at home's power, line and router.",
        },
        Cause::AppBroken => "The box at home is up: look at the application.",
        Cause::EdgeLostHome => "Look at the tunnel or the path between the edge and home.",
        Cause::Operator | Cause::FoundSwitched => NOTHING,
        Cause::HomeServes | Cause::OwnPath | Cause::OwnUplink | Cause::EdgeBroken => {
            "Look at the watcher's and the edge's state before you look at home."
        }
    }
}

/// The switch's name within a sentence.
fn name(toggle: ToggleKey) -> String {
    let name = match toggle.role {
        Role::Gate => "public access to the standby",
        Role::Redirect => "the redirect to the standby",
        Role::Silence => "the mute of the provider's own monitoring",
    };
    match toggle.index {
        0 => name.to_owned(),
        index => format!("{name} (number {})", u16::from(index) + 1),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

const fn meaning_when_stuck(role: Role, desired: Position) -> &'static str {
    match (role, desired) {
        (Role::Gate, Position::On) => "The standby refuses visitors while home is dark.",
        (Role::Gate, Position::Off) => "Visitors are not affected; the standby stays open and can cost money.",
        (Role::Redirect, Position::On) => "Visitors still go to home, which is dark.",
        (Role::Redirect, Position::Off) => "Visitors still go to the standby, which serves them.",
        (Role::Silence, Position::On) => "Visitors are not affected; the provider's probes keep calling the standby.",
        (Role::Silence, Position::Off) => "Visitors are not affected; the provider's own alerts about home stay mute.",
    }
}

const fn reason(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::NoAnswer => "the provider does not answer",
        FailureKind::Unavailable => "the provider is in trouble",
        FailureKind::Limited => "there were too many requests",
        FailureKind::HeldBack => "our own limit of calls is reached",
        FailureKind::Conflict => "somebody else keeps writing at the same time",
        FailureKind::Denied => "the provider refuses our credential",
        FailureKind::Missing => "it does not exist at the provider",
        FailureKind::Refused => "the provider refuses the change",
        FailureKind::Nonsense => "the provider's answer makes no sense",
        FailureKind::NotApplied => "the provider said yes, but nothing changed",
        FailureKind::Local => "the request could not be made on our own side",
    }
}

const fn remedy(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::NoAnswer | FailureKind::Unavailable | FailureKind::Nonsense => {
            "Look at the provider's status page; if it lasts, turn the switch by hand."
        }
        FailureKind::HeldBack => {
            "Wait; if it lasts, give the site a credential of its own, or have switches read less often."
        }
        FailureKind::Limited => "Wait; if it lasts, look for another program that uses the same credential.",
        FailureKind::Conflict => "Find the other hand: a second watcher, a script, a colleague.",
        FailureKind::Denied => "Look at the credential and its permissions; this does not mend by itself.",
        FailureKind::Missing => "Compare the names in the config with those at the provider.",
        FailureKind::Refused => "Look for a policy of the organisation that forbids the change.",
        FailureKind::NotApplied => "Turn the switch by hand at the provider and see what it says.",
        FailureKind::Local => "Look at the credential's file and at the log.",
    }
}

//! Pilotlight: watches a site hosted at home and lights its cloud standby when home goes dark.
//!
//! This page is the map. The code has one centre, [`core`], that decides and does nothing else; everything around it brings it
//! evidence or carries out what it says.
//!
//! # The house from above
//!
//! | room | what it does | what it never does |
//! |---|---|---|
//! | [`core`] | turns events into effects: verdict, phase, wish, next step | ask the time, wait, fail, log |
//! | [`driver`] | one loop per site: carries events in and effects out | decide |
//! | [`probe`] | looks: at home, at the public URL, at the standby, at the references | switch anything |
//! | [`toggle`] | reads and moves one remote switch, one try with one deadline | retry, order, wait |
//! | [`notify`] | tells people, from a queue on disk | delay the loop |
//! | [`store`], [`saver`] | put the intent on disk before the first write leaves | ignore a broken file |
//! | [`pending`] | keeps notices beside the intent until every outbox has them | tell what is not on disk, while the disk works |
//! | [`http`], [`tls`] | the one way out to providers | follow redirects, print a URL or a token |
//! | [`admin`] | shows pictures, takes commands | reach a provider, change anything on a GET |
//! | [`metrics`], [`systemd`] | show what core's picture says | influence a decision |
//! | [`config`] | settings valid by construction, all complaints at once | know an edge |
//! | [`app`] | builds all of it and starts and stops it in order | decide |
//! | [`cli`] | argv in, exit code out | name a vendor |
//! | `sandbox` | a local stand-in for home, edge and providers | share code with the daemon |
//!
//! `tests/it/layering` holds this as a table: who may import whom, and why.
//!
//! # The ring
//!
//! Everything goes one way round. There is no second loop, no shared lock and no callback into the core.
//!
//! ```text
//!  probe task --Probed---->+-----------+                      +--> toggle call --HTTP--> provider
//!  eyes -------Looked----->|           |      Driver          |        |
//!  mirror -----Mirrored--->|  events,  |--> Controller::handle+--> look, by an eye
//!  admin ------Commanded-->|  bounded  |                      |        |
//!  deadline ---Woke------->|           |                      +--> Save   --> store
//!  toggle call -Settled--->+-----------+                      +--> Notify --> outbox --> senders
//!       ^                                                     |
//!       +------- what was started comes back as an event -----+
//!                                                             +--> watch<Status> --> /metrics, /api/v1/status, systemd
//! ```
//!
//! Effects come in an order that matters: the intent and what people are to be told of it go to disk in one piece, and only then
//! are people told and is anything switched.
//!
//! # The phases of a site
//!
//! ```text
//!                 one failure
//!   +---------+ ------------------------------> +-----------+
//!   | Healthy |                                 |  Suspect  |   the gate is opened already (prewarm)
//!   +---------+ <------------------------------ +-----------+
//!        ^        clear_threshold successes in        |
//!        |        a row, and clear_for without        | unhealthy_threshold failures, and down_for
//!        |        failure                             | since the first of them was sent
//!        |                                            v
//!   +------------+       one success            +------------+
//!   | Recovering | <--------------------------- | FailedOver |  gate, proof, redirect, proof
//!   +------------+ ---------------------------> +------------+
//!        |               one failure
//!        +--> Healthy: healthy_threshold successes in a row, and up_for of quiet since the failover was verified
//!             (without waiting when the standby does not serve); redirect off, proof, drain, gate off.
//!             Not proven at home within home_proof: back to FailedOver, counted as a relapse.
//! ```
//!
//! A verdict `Unknown` moves nothing: time in the phase stands still until the mirror shines again. A pin or a pause stands
//! beside the phase, never in its place: the real phase goes on underneath and is shown. The code is [`core::machine::Policy::next`].
//!
//! # What never happens
//!
//! - Core never waits, fails, logs or asks the time; `now` comes in and effects come out.
//! - Nothing is decided while our own line is dark, or before a full window of own observation.
//! - Visitors are never sent to a gate that is known to be shut while patience lasts.
//! - The gate is never shut before the redirect was seen off and the drain is over.
//! - No two operations are in flight on one toggle, and no position with a write in flight is believed.
//! - Nothing is written that does not differ, nothing that is not ours, and nothing built from an answer that makes no sense.
//! - No write leaves before its intent was saved or saving it was given up on loudly.
//! - No notice is lost, or told under two ids, wherever the process is killed; at worst one is told twice under the same id.
//! - While paused, nothing is written at all.
//! - No probe follows a redirect, waits for another probe, or takes the standby for home.
//! - No channel is unbounded, and no slow target of a notice delays a decision.
//! - No URL, token or header stands in an error, a log line or a metric.
//! - Silence is never in the way of a switch.
//!
//! # Where to read on
//!
//! 1. [`core::ring`]: the events and effects, the whole vocabulary between core and the world.
//! 2. [`core::evidence`] and [`core::judge`]: what was seen, and what it means.
//! 3. [`core::machine`]: the diagram above as one exhaustive match.
//! 4. [`core::reconciler`]: in which order switches are moved, and when not.
//! 5. [`core::controller`]: how the three come together.
//! 6. [`driver`]: the loop around it; then [`probe`], [`toggle`] and [`notify`], whose `mod.rs` are the ports.
//! 7. [`app`]: how a config becomes running tasks.

pub mod core;

pub mod clock;
pub mod driver;
pub mod limbs;
pub mod pending;
pub mod saver;
pub mod store;

pub mod notify;
pub mod probe;
pub mod toggle;

pub mod http;
pub mod tls;

pub mod admin;
pub mod metrics;
pub mod systemd;

pub mod app;
pub mod cli;
pub mod config;

#[cfg(feature = "sandbox")]
pub mod sandbox;

//! Many sites in one daemon: each has its own loop, and sites that share a provider's object keep it on for each other.

use pilotlight::sandbox::Home;

use crate::support::daemon::{Lab, eventually};

/// Two sites; with `shared`, both name the first one's Cloud Run service as their standby's gate.
async fn two_sites(name: &str, shared: bool) -> Lab {
    let lab = Lab::of_sites(name, &["blog", "shop"]).await;
    if shared {
        let (own, shared) = ("service = \"shop-standby\"", "service = \"blog-standby\"");
        lab.rewrite_config(|config| config.replace(own, shared));
    }
    lab
}

#[tokio::test]
async fn one_home_dies_and_the_other_site_is_left_alone() {
    let mut lab = two_sites("two-sites", false).await;
    let world = lab.world();
    let daemon = lab.start();
    daemon.watches().await;
    world.set_home_of("blog", Home::Silent);
    eventually("the first site's failover", || {
        world.gate_of("blog").effective && world.redirect_of("blog").effective
    })
    .await;
    assert!(!world.gate_of("shop").configured && !world.redirect_of("shop").configured);
    world.set_home_of("blog", Home::Serving);
    eventually("home", || {
        !world.gate_of("blog").configured && !world.redirect_of("blog").configured
    })
    .await;
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}

#[tokio::test]
async fn a_gate_that_two_sites_share_stays_open_until_the_last_one_is_home() {
    let mut lab = two_sites("shared-gate", true).await;
    let world = lab.world();
    let daemon = lab.start();
    daemon.watches().await;
    world.set_home_of("blog", Home::Silent);
    world.set_home_of("shop", Home::Refusing);
    eventually("both failovers", || {
        world.gate_of("blog").effective && world.redirect_of("blog").effective && world.redirect_of("shop").effective
    })
    .await;
    world.set_home_of("blog", Home::Serving);
    eventually("the first site is home", || !world.redirect_of("blog").configured).await;
    eventually("the first site's episode is over", || {
        lab.saved_of("blog", "/episode", "null")
    })
    .await;
    assert!(world.gate_of("blog").configured, "the other site still needs it");
    world.set_home_of("shop", Home::Serving);
    eventually("the gate shuts behind the last one", || {
        !world.gate_of("blog").configured
    })
    .await;
    assert!(daemon.terminate().await.success());
    lab.finish().await;
}

//! Configs, good and bad: what loads, and exactly what is complained of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pilotlight::cli::check;
use pilotlight::config::{self, Complaints, Config, Gate, Listen, Marker, Redirect, Reference, Silence, Surroundings};

const BASE: &str = include_str!("../fixtures/good/base.toml");
const REFERENCE: &str = include_str!("../../config/pilotlight.toml");
const CANARY: &str = "canary-5f1c";

/// A directory of its own for one test, with the secrets that the fixtures name.
struct Room(PathBuf);

impl Room {
    fn new(test: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config").join(test);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let room = Self(directory);
        let key = |kind: &str| {
            format!(r#"{{"type":"{kind}","client_email":"a@b","private_key":"{CANARY}","private_key_id":"{CANARY}"}}"#)
        };
        room.secret("token", &format!("{CANARY}\n"));
        room.secret("two-lines", &format!("{CANARY}\n{CANARY}\n"));
        room.secret("bearer", &format!("Bearer {CANARY}\n"));
        room.secret("empty", "\n");
        room.secret("hook", &format!("https://hooks.example/{CANARY}\n"));
        room.secret("key.json", &key("service_account"));
        room.secret("user-key.json", &key("authorized_user"));
        room.write("open-token", CANARY);
        room.mode("open-token", 0o644);
        room
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn secret(&self, name: &str, text: &str) {
        self.write(name, text);
        self.mode(name, 0o600);
    }

    /// What a check says of these files, without the directory's name.
    fn check(&self, names: &[&str]) -> String {
        let said = check::say(self.load(names), false);
        format!("{}{}", said.out, said.err).replace(&format!("{}/", self.0.display()), "")
    }

    fn load(&self, names: &[&str]) -> Result<Config, Complaints> {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.0.join(name)).collect();
        config::load_in(&paths, &Surroundings::default())
    }
}

#[test]
fn every_bad_config_gets_exactly_these_complaints() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bad");
    let mut wrong = Vec::new();
    let mut names: Vec<String> = fs::read_dir(&fixtures)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned()))
        .collect();
    names.sort();
    assert!(names.len() >= 20, "the fixtures are gone");
    for name in names {
        let room = Room::new(&format!("bad/{name}"));
        let text = fs::read_to_string(fixtures.join(format!("{name}.toml"))).unwrap();
        let file = format!("{name}.toml");
        room.write("base.toml", BASE);
        room.write(&file, &text);
        let layers = if text.starts_with("# alone") {
            vec![file.as_str()]
        } else {
            vec!["base.toml", &file]
        };
        let said = room.check(&layers);
        assert!(!said.contains(CANARY), "{name} tells a secret:\n{said}");
        assert!(!said.contains("canary-"), "{name} tells a secret:\n{said}");
        let expected = fixtures.join(format!("{name}.txt"));
        if std::env::var_os("PILOTLIGHT_BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if said != expected {
            wrong.push(format!("== {name}: expected\n{expected}-- said\n{said}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nto accept: PILOTLIGHT_BLESS=1 cargo test --test it config",
        wrong.join("\n")
    );
}

#[test]
fn the_good_base_loads_with_what_it_says() {
    let room = Room::new("good");
    room.write("base.toml", BASE);
    let config = room.load(&["base.toml"]).unwrap();
    assert_eq!(room.check(&["base.toml"]), "config is good: 1 site (blog)\n");
    let site = &config.sites["blog"];
    assert_eq!(site.url.as_str(), "https://blog.example/");
    assert_eq!(site.probe.url, site.url);
    assert_eq!(site.probe.connect_to.as_ref().unwrap().to_string(), "192.0.2.10:443");
    assert_eq!(site.probe.status, 200..=299);
    assert_eq!(
        site.standby.marker,
        Marker::Header {
            name: "x-served-by".to_owned(),
            value: "standby".to_owned()
        }
    );
    assert!(matches!(
        site.references.targets.as_slice(),
        [Reference::Page(_), Reference::Tcp(_)]
    ));
    assert!(matches!(&site.gate, Some(Gate::CloudRun { service, .. }) if service == "blog"));
    let Some(Redirect::SingleRedirect { coverage, .. }) = &site.redirect else {
        panic!("no single redirect")
    };
    assert_eq!(coverage.hosts, ["blog.example"], "the site's host is the default");
    assert!(matches!(site.silences.as_slice(), [Silence::Snooze { .. }]));
    assert!(config.webhooks["phone"].hears_of("blog"));
    assert_eq!(config.admin.token_file.as_deref(), Some(room.0.join("token").as_path()));
    assert!(!format!("{config:?}").contains(CANARY));
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let room = Room::new("defaults");
    room.write("base.toml", BASE);
    let config = room.load(&["base.toml"]).unwrap();
    let site = &config.sites["blog"];
    let policy = &site.policy;
    let secs = Duration::from_secs;
    assert_eq!((policy.interval, site.probe.timeout), (secs(5), secs(4)));
    assert_eq!(policy.confirm_interval, Duration::from_millis(500));
    assert_eq!(site.probe.hedge_after, secs(1));
    assert_eq!((policy.visitor_interval, site.visitor.timeout), (secs(60), secs(25)));
    assert_eq!((policy.unhealthy_threshold, policy.down_for), (3, secs(30)));
    assert_eq!((policy.clear_threshold, policy.clear_for), (2, secs(10)));
    assert_eq!((policy.healthy_threshold, policy.up_for), (12, secs(600)));
    assert_eq!((policy.up_for_max, policy.relapse_window), (secs(6 * 3600), secs(3600)));
    assert_eq!((policy.gate_patience, policy.drain), (secs(120), secs(600)));
    assert_eq!((policy.verify_every, policy.home_proof), (secs(300), secs(30)));
    assert_eq!(site.toggle_timeout, secs(15));
    assert_eq!(policy.references_again, secs(10));
    assert!(policy.prewarm);
    assert_eq!(config.admin.listen, Listen::Tcp("127.0.0.1:9911".parse().unwrap()));
}

#[test]
fn fragments_layer_in_the_order_of_their_names() {
    let room = Room::new("fragments");
    room.write("base.toml", BASE);
    room.write("conf.d/10.toml", "[policy]\ndown_for = \"20s\"\nclear_for = \"5s\"\n");
    room.write(
        "conf.d/20.toml",
        "[policy]\ndown_for = \"15s\"\n[site.blog.policy]\nup_for = \"1m\"\n",
    );
    room.write("conf.d/20.toml.bak", "not even TOML");
    let config = room.load(&["base.toml", "conf.d"]).unwrap();
    let policy = &config.sites["blog"].policy;
    assert_eq!(policy.down_for, Duration::from_secs(15));
    assert_eq!(policy.clear_for, Duration::from_secs(5));
    assert_eq!(policy.up_for, Duration::from_secs(60));
}

#[test]
fn a_complaint_names_the_fragment_that_wins() {
    let room = Room::new("fragment_named");
    room.write("base.toml", BASE);
    room.write("conf.d/10.toml", "[policy]\ndown_for = \"20s\"\n");
    room.write("conf.d/20.toml", "# second\n[policy]\ndown_for = \"never\"\n");
    let complaints = room.load(&["base.toml", "conf.d"]).unwrap_err();
    let all: Vec<_> = complaints.iter().collect();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].file.as_deref(), Some(room.0.join("conf.d/20.toml").as_path()));
    assert_eq!((all[0].line, all[0].key.as_str()), (Some(3), "policy.down_for"));
}

#[test]
fn r17_listening_beyond_loopback_without_a_token_is_a_config_error() {
    let room = Room::new("public_listener");
    room.write("base.toml", &BASE.replace("[admin]\ntoken_file = \"token\"\n", ""));
    for (listen, token, good) in [
        ("0.0.0.0:9911", false, false),
        ("[::]:9911", false, false),
        ("192.0.2.1:9911", false, false),
        ("192.0.2.1:9911", true, true),
        ("127.0.0.1:9911", false, true),
        ("[::1]:9911", false, true),
        ("unix:/run/pilotlight/admin.sock", false, true),
    ] {
        let token = if token { "token_file = \"token\"\n" } else { "" };
        room.write("listen.toml", &format!("[admin]\nlisten = \"{listen}\"\n{token}"));
        let said = room.check(&["base.toml", "listen.toml"]);
        assert_eq!(
            !said.contains("no token is asked for"),
            good,
            "{listen} {token}: {said}"
        );
    }
}

#[test]
fn a_broken_fragment_does_not_hide_what_is_wrong_with_the_others() {
    let room = Room::new("fragment_broken");
    room.write("conf.d/10.toml", "[policy]\ndown_fro = \"20s\"\n");
    room.write("conf.d/20.toml", "[policy\n");
    let complaints = room.load(&["conf.d"]).unwrap_err();
    let all: Vec<_> = complaints.iter().map(|one| (one.key.as_str(), one.line)).collect();
    assert_eq!(
        all,
        [("policy.down_fro", Some(2)), ("", Some(1))],
        "and no guesses about missing keys"
    );
}

#[test]
fn a_file_that_is_not_there_is_a_complaint() {
    let room = Room::new("no_file");
    assert_eq!(
        room.check(&["nowhere.toml"]),
        "nowhere.toml: cannot be read: entity not found\n    create it, mend its permissions, or name another file or \
         directory with --config\nconfig is not good: 1 complaint; nothing was started or changed\n"
    );
}

#[test]
fn a_secret_that_systemd_brings_is_found_first_and_may_be_open() {
    let room = Room::new("systemd");
    room.write("base.toml", BASE);
    room.write("credentials/token", "from-systemd");
    room.mode("credentials/token", 0o644);
    let surroundings = Surroundings {
        credentials_directory: Some(room.0.join("credentials")),
    };
    let config = config::load_in(&[room.0.join("base.toml")], &surroundings).unwrap();
    assert_eq!(config.admin.token_file, Some(room.0.join("credentials/token")));
}

#[test]
fn a_secret_loses_one_newline_and_nothing_else() {
    use secrecy::ExposeSecret;

    let room = Room::new("secret");
    let secret = config::secret::read(&room.0.join("token")).unwrap();
    assert_eq!(secret.expose_secret(), CANARY);
    assert!(!format!("{secret:?}").contains(CANARY));
    for name in ["two-lines", "bearer", "empty", "no-such-file"] {
        let error = config::secret::read(&room.0.join(name)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{name}");
    }
}

#[test]
fn a_command_finds_the_admin_server_in_a_config_that_is_bad_otherwise() {
    let room = Room::new("admin");
    room.write(
        "half.toml",
        "[admin]\nlisten = \"unix:/run/x.sock\"\ntoken_file = \"gone\"\n[policy]\ndown_fro = 1\n",
    );
    room.write("worse.toml", "[admin]\nlisten = \"nowhere\"\n");
    let load = |name: &str| config::load_admin(&[room.0.join(name)], &Surroundings::default());
    let admin = load("half.toml").unwrap();
    assert_eq!(admin.listen, Listen::Unix(PathBuf::from("/run/x.sock")));
    assert_eq!(admin.token_file, Some(room.0.join("gone")));
    assert_eq!(load("worse.toml").unwrap_err().iter().len(), 1);
}

#[test]
fn check_tells_machines_the_same() {
    let room = Room::new("json");
    room.write("base.toml", BASE);
    room.write("bad.toml", "[policy]\ndown_fro = \"3s\"\n");
    let good = check::say(room.load(&["base.toml"]), true);
    assert_eq!(good.out, "{\"complaints\":[],\"good\":true,\"sites\":[\"blog\"]}\n");
    assert_eq!((good.status, good.err.as_str()), (0, ""));
    let bad = check::say(room.load(&["base.toml", "bad.toml"]), true);
    let json: serde_json::Value = serde_json::from_str(&bad.out).unwrap();
    assert_eq!(json["good"], false);
    assert_eq!(json["complaints"][0]["line"], 2);
    assert_eq!(json["complaints"][0]["key"], "policy.down_fro");
    assert_eq!(json["complaints"][0]["fix"], "did you mean `down_for`?");
    assert_eq!((bad.status, bad.err.as_str()), (78, ""));
}

/// A line of the good base, spoilt.
fn spoilt(number: usize, value: &str) -> String {
    let spoil = |(at, line): (usize, &str)| match line.split_once(" = ") {
        Some((key, _)) if at == number => format!("{key} = {value}"),
        _ if at == number => value.to_owned(),
        _ => line.to_owned(),
    };
    BASE.lines().enumerate().map(spoil).collect::<Vec<_>>().join("\n")
}

#[test]
fn whatever_is_written_either_loads_or_is_complained_of_with_words() {
    let room = Room::new("spoilt");
    let values = [
        "",
        "x",
        "[]",
        "{}",
        "[[]]",
        "[probe]",
        "[[site]]",
        "[site.blog]",
        "\"\"",
        "\"\\u0000\"",
        "\"é\"",
        "-1",
        "1e99",
        "true",
        "1979-05-27",
        "{ a = [{}] }",
        "[1, \"x\", {}]",
        "\"http://[::1\"",
        "\"*.\"",
        "\"unix:\"",
        "\"..\"",
        "\"tcp://:1\"",
    ];
    for number in 0..BASE.lines().count() {
        for value in values {
            room.write("spoilt.toml", &spoilt(number, value));
            match room.load(&["spoilt.toml"]) {
                Ok(config) => assert!(!config.sites.is_empty()),
                Err(complaints) => {
                    assert!(complaints.iter().len() > 0, "line {number} = {value}");
                    for one in complaints.iter() {
                        assert!(!one.wrong.is_empty() && !one.fix.is_empty(), "{one:?}");
                    }
                }
            }
        }
    }
}

/// The reference with the files it names.
fn reference(test: &str) -> Room {
    let room = Room::new(test);
    room.secret("google-key.json", &fs::read_to_string(room.0.join("key.json")).unwrap());
    room.secret("cloudflare-token", CANARY);
    room.secret("admin-token", CANARY);
    room.secret("phone-url", "https://hooks.example/x");
    for name in ["home", "edge", "references", "google", "cloudflare", "phone", "standby"] {
        room.write(&format!("{name}-ca.pem"), "-----BEGIN CERTIFICATE-----\n");
    }
    room
}

/// The reference with every setting in use.
fn everything() -> String {
    let setting = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    let used = |line: &'static str| line.strip_prefix('#').filter(|rest| setting(rest)).unwrap_or(line);
    REFERENCE.lines().map(used).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_reference_loads_as_it_is_and_with_every_setting_in_use() {
    let room = reference("reference");
    room.write("as-it-is.toml", REFERENCE);
    room.write("everything.toml", &everything());
    assert_eq!(room.check(&["as-it-is.toml"]), "config is good: 1 site (blog)\n");
    assert_eq!(
        room.check(&["everything.toml"]),
        "config is good: 4 sites (blog, lab, shop, wiki)\n"
    );
}

/// Taking out a line of the reference that shows a default changes nothing.
#[test]
fn the_reference_shows_the_defaults() {
    let room = reference("reference_defaults");
    room.write("whole.toml", REFERENCE);
    let whole = room.load(&["whole.toml"]).unwrap();
    let mut section = "";
    let mut shown = 0;
    for (number, line) in REFERENCE.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let of_all = !section.contains('.') && key != "targets";
        let of_credential = key.ends_with("_url") && !section.starts_with("[site");
        if !of_all && !of_credential {
            continue;
        }
        let rest: Vec<&str> = REFERENCE
            .lines()
            .enumerate()
            .filter_map(|(other, line)| (other != number).then_some(line))
            .collect();
        room.write("without.toml", &rest.join("\n"));
        let without = room.load(&["without.toml"]).unwrap();
        assert_eq!(whole, without, "{section} {key} is not the default");
        shown += 1;
    }
    assert_eq!(shown, 36, "count the defaults again when one is added");
}

/// Every key that the program knows stands in the reference (and the other way round: it loads).
#[test]
fn the_reference_lists_every_key() {
    let room = reference("reference_keys");
    let unknown = "zzzzzzzzzzzzzzz = 1";
    let mut text = format!("{unknown}\n");
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in everything().lines() {
        text.push_str(line);
        text.push('\n');
        if line.starts_with('[') {
            section = shape(line.trim_matches(['[', ']']));
            let (parent, name) = section.rsplit_once('.').unwrap_or(("", &section));
            listed.entry(parent.to_owned()).or_default().insert(name.to_owned());
            text.push_str(unknown);
            text.push('\n');
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            listed.entry(section.clone()).or_default().insert(key.to_owned());
        }
    }
    room.write("probed.toml", &text);
    let complaints = room.load(&["probed.toml"]).unwrap_err();
    let mut tables = 0;
    for complaint in complaints.iter() {
        let at = complaint.key.strip_suffix("zzzzzzzzzzzzzzz").unwrap();
        let at = shape(at.trim_end_matches('.'));
        let known = complaint.fix.strip_prefix("take it out; the keys here are ").unwrap();
        for key in known.split(", ") {
            let listed = listed.get(&at).is_some_and(|keys| keys.contains(key));
            let named = listed || at.is_empty() && ["google", "cloudflare", "webhook", "site"].contains(&key);
            let shared = at.starts_with("site.NAME") && key_of_shared(key);
            assert!(named || shared, "[{at}] {key} is missing in config/pilotlight.toml");
        }
        tables += 1;
    }
    assert!(tables > 20, "{tables}");
}

/// A site's section that stands at the top as well needs no second listing.
fn key_of_shared(section: &str) -> bool {
    ["probe", "visitor", "references", "policy", "timing"].contains(&section)
}

/// The table with the names that people choose taken out: `site.blog.probe` and `probe` are one shape.
fn shape(table: &str) -> String {
    let mut steps: Vec<&str> = table.split('.').collect();
    if ["google", "cloudflare", "webhook", "site"].contains(&steps[0]) && steps.len() > 1 {
        steps[1] = "NAME";
    }
    let last = steps.len() - 1;
    steps[last] = steps[last].split('[').next().unwrap_or_default();
    if steps.len() == 3 && key_of_shared(steps[2]) {
        steps.drain(..2);
    }
    steps.join(".")
}

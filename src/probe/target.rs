//! Where a request goes: a validated URL, and another place to connect to instead of its host.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use hyper::header::HeaderValue;
use tokio_rustls::rustls::pki_types::ServerName;

/// Why a setting of an eye is not usable. Says what to do; holds no URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not a URL at all.
    #[error("not a URL: write it like https://site.example/ (other than ASCII letters in a name as xn--...)")]
    Url,
    /// Neither `https` nor `http`.
    #[error("the URL must begin with https:// or http://")]
    Scheme,
    /// It has no host, or one that cannot be a name.
    #[error("the URL has no usable host name")]
    Host,
    /// It holds a user name or password.
    #[error("the URL must not hold a user name or password")]
    Credentials,
    /// Not `host:port`.
    #[error("must be host:port, for example 192.0.2.7:443 or [2001:db8::7]:443")]
    HostPort,
    /// Not a set of statuses.
    #[error("must be statuses like \"200\", \"2xx\" or \"200-204\", between 100 and 599")]
    Statuses,
    /// Not `name: value`.
    #[error("must be \"name: value\", for example \"x-served-by: home\"")]
    Header,
    /// No reference is given.
    #[error("a reference must be https://..., http://... or tcp://host:port")]
    Reference,
}

/// A host, by name or address, and a port to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The name or the address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let (host, port) = text.rsplit_once(':').ok_or(SettingsError::HostPort)?;
        let port: u16 = port.parse().map_err(|_| SettingsError::HostPort)?;
        let bare = unbracketed(host);
        let is_v6 = bare.contains(':');
        let bracketed = bare.len() != host.len();
        if bare.is_empty() || port == 0 || is_v6 != bracketed || (is_v6 && bare.parse::<IpAddr>().is_err()) {
            return Err(SettingsError::HostPort);
        }
        if bare.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@' | '[' | ']')) {
            return Err(SettingsError::HostPort);
        }
        Ok(Self {
            host: bare.to_owned(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A validated `https` or `http` URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    https: bool,
    host: String,
    port: u16,
    name: ServerName<'static>,
    host_header: HeaderValue,
    path: Uri,
}

impl Target {
    /// Reads a URL. Its fragment is dropped, an empty path becomes `/`.
    pub fn parse(url: &str) -> Result<Self, SettingsError> {
        let uri: Uri = url.parse().map_err(|_| SettingsError::Url)?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(SettingsError::Scheme),
        };
        let authority = uri.authority().ok_or(SettingsError::Host)?;
        if authority.as_str().contains('@') {
            return Err(SettingsError::Credentials);
        }
        let host = unbracketed(authority.host()).to_ascii_lowercase();
        let name = ServerName::try_from(host.clone()).map_err(|_| SettingsError::Host)?;
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None => default_port(https),
        };
        if port == 0 {
            return Err(SettingsError::Url);
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') {
            path.parse()
        } else {
            format!("/{path}").parse()
        };
        Ok(Self {
            host_header: host_header(https, &host, port)?,
            https,
            host,
            port,
            name,
            path: path.map_err(|_| SettingsError::Url)?,
        })
    }

    /// Where a redirect with this `Location` leads from here.
    pub fn join(&self, location: &str) -> Result<Self, SettingsError> {
        let here = reqwest::Url::parse(&self.to_string()).map_err(|_| SettingsError::Url)?;
        let mut there = here.join(location).map_err(|_| SettingsError::Url)?;
        there.set_fragment(None);
        Self::parse(there.as_str())
    }

    /// The same host and port, another path: a constant of ours that begins with `/`.
    #[must_use]
    pub(super) fn at_path(&self, path: &'static str) -> Self {
        Self {
            path: Uri::from_static(path),
            ..self.clone()
        }
    }

    /// Whether TLS is spoken.
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// The host's name or address, in lower case and without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether both are the same site: the same host, and the same port unless both have their scheme's default.
    pub fn same_site(&self, other: &Self) -> bool {
        let own_port = |target: &Self| (target.port != default_port(target.https)).then_some(target.port);
        self.host == other.host && own_port(self) == own_port(other)
    }

    /// The name that the certificate must be for.
    pub(super) const fn server_name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// The value of the `Host` header.
    pub(super) const fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// Path and query, as the request line has them.
    pub(super) const fn path(&self) -> &Uri {
        &self.path
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        let host = self.host_header.to_str().unwrap_or(&self.host);
        write!(f, "{scheme}://{host}{}", self.path)
    }
}

const fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

fn host_header(https: bool, host: &str, port: u16) -> Result<HeaderValue, SettingsError> {
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let value = if port == default_port(https) {
        bracketed
    } else {
        format!("{bracketed}:{port}")
    };
    HeaderValue::try_from(value).map_err(|_| SettingsError::Host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).expect("a URL")
    }

    #[test]
    fn a_url_is_taken_apart_and_put_together_again() {
        let plain = target("https://Site.Example");
        assert_eq!(
            (plain.is_https(), plain.host(), plain.port()),
            (true, "site.example", 443)
        );
        assert_eq!(plain.to_string(), "https://site.example/");
        let other = target("http://[::1]:8080/a?b=c#d");
        assert_eq!((other.is_https(), other.host(), other.port()), (false, "::1", 8080));
        assert_eq!(other.to_string(), "http://[::1]:8080/a?b=c");
        assert_eq!(target("https://a.example?x").to_string(), "https://a.example/?x");
    }

    #[test]
    fn bad_urls_are_refused_without_repeating_them() {
        for (url, complaint) in [
            ("site.example", SettingsError::Scheme),
            ("/path", SettingsError::Scheme),
            ("ftp://site.example/", SettingsError::Scheme),
            ("https://user:secret@site.example/", SettingsError::Credentials),
            ("https://bücher.example/", SettingsError::Url),
            ("https://", SettingsError::Url),
            ("https://a..b/", SettingsError::Host),
        ] {
            assert_eq!(Target::parse(url).expect_err(url), complaint, "{url}");
            assert!(!complaint.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_location_is_joined_as_a_browser_does() {
        let here = target("https://site.example/a/b?q");
        for (location, there) in [
            ("https://other.example/x", "https://other.example/x"),
            ("//other.example", "https://other.example/"),
            ("/y?z#f", "https://site.example/y?z"),
            ("c", "https://site.example/a/c"),
            ("http://site.example:80/", "http://site.example/"),
        ] {
            assert_eq!(here.join(location).expect(location).to_string(), there, "{location}");
        }
        assert!(here.join("mailto:a@b.example").is_err());
    }

    #[test]
    fn the_same_site_is_told_by_host_and_unusual_port() {
        assert!(target("http://a.example/").same_site(&target("https://a.example/x")));
        assert!(!target("https://a.example:444/").same_site(&target("https://a.example/")));
        assert!(!target("https://b.example/").same_site(&target("https://a.example/")));
    }

    #[test]
    fn host_and_port_are_read_strictly() {
        let v6 = HostPort::parse("[::1]:443").expect("IPv6");
        assert_eq!((v6.host.as_str(), v6.port), ("::1", 443));
        assert_eq!(v6.to_string(), "[::1]:443");
        assert_eq!(
            HostPort::parse("home.example:8443").expect("a name").to_string(),
            "home.example:8443"
        );
        for bad in [
            "home.example",
            "home.example:",
            "home.example:0",
            ":443",
            "::1:443",
            "[a]:443",
            "https://a:443",
            "a b:1",
        ] {
            assert_eq!(HostPort::parse(bad).expect_err(bad), SettingsError::HostPort, "{bad}");
        }
    }
}

//! What a good answer looks like: its status and its marker.

use std::ops::RangeInclusive;

use super::target::SettingsError;

/// Tells home's pages from the standby's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marker {
    /// An answer header with exactly this value.
    Header {
        /// The header's name, in any case.
        name: String,
        /// Its value.
        value: String,
    },
    /// A text in the page's first 64 KiB.
    Body(String),
}

impl Marker {
    /// Reads `name: value`.
    pub fn header(line: &str) -> Result<Self, SettingsError> {
        let (name, value) = line.split_once(':').ok_or(SettingsError::Header)?;
        let (name, value) = (name.trim(), value.trim());
        if value.is_empty() || hyper::header::HeaderName::try_from(name).is_err() {
            return Err(SettingsError::Header);
        }
        Ok(Self::Header {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// Statuses that count as good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet(Vec<RangeInclusive<u16>>);

impl Default for StatusSet {
    /// 200 to 299.
    fn default() -> Self {
        Self(vec![200..=299])
    }
}

impl StatusSet {
    /// Every status.
    pub fn any() -> Self {
        Self(vec![0..=u16::MAX])
    }

    /// Reads a list of `200`, `2xx` or `200-204`.
    pub fn parse<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<Self, SettingsError> {
        let ranges = parts.into_iter().map(range).collect::<Result<Vec<_>, _>>()?;
        if ranges.is_empty() {
            return Err(SettingsError::Statuses);
        }
        Ok(Self(ranges))
    }

    /// Whether `status` is among them.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

fn range(part: &str) -> Result<RangeInclusive<u16>, SettingsError> {
    let number = |text: &str| text.trim().parse::<u16>().map_err(|_| SettingsError::Statuses);
    let range = if let Some(class) = part.trim().strip_suffix("xx") {
        let class = number(class)?.min(6);
        class * 100..=class * 100 + 99
    } else if let Some((first, last)) = part.split_once('-') {
        number(first)?..=number(last)?
    } else {
        let status = number(part)?;
        status..=status
    };
    if range.is_empty() || *range.start() < 100 || *range.end() > 599 {
        return Err(SettingsError::Statuses);
    }
    Ok(range)
}

/// What the origin eye expects of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// Good statuses.
    pub status: StatusSet,
    /// Home's marker.
    pub marker: Option<Marker>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_as_codes_classes_and_ranges() {
        let set = StatusSet::parse(["204", "3xx", "401-403"]).expect("a set");
        for (status, good) in [(204, true), (200, false), (307, true), (402, true), (404, false)] {
            assert_eq!(set.contains(status), good, "{status}");
        }
        assert!(StatusSet::default().contains(206) && !StatusSet::default().contains(302));
        for bad in ["", "0xx", "6xx", "99", "204-200", "ok", "200-700"] {
            assert_eq!(
                StatusSet::parse([bad]).expect_err(bad),
                SettingsError::Statuses,
                "{bad}"
            );
        }
        assert!(StatusSet::parse([]).is_err());
    }

    #[test]
    fn a_header_marker_is_read_from_one_line() {
        let marker = Marker::header("X-Served-By:  home:1 ").expect("a marker");
        assert_eq!(
            marker,
            Marker::Header {
                name: "X-Served-By".into(),
                value: "home:1".into()
            }
        );
        for bad in ["x-served-by", "x-served-by:", ": home", "x y: z"] {
            assert!(Marker::header(bad).is_err(), "{bad}");
        }
    }
}

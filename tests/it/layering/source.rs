//! Reads Rust source as far as the layering test needs it: paths and where they stand.

/// A path with at least two parts, or the one name of a `use`, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The line, counted from 1.
    pub line: usize,
    /// The modules inside this file that it stands in.
    pub within: Vec<String>,
    /// Its parts: `crate`, `toggle`, `Toggle`.
    pub parts: Vec<String>,
    /// The name it has here, when a `use` gives it another.
    pub alias: Option<String>,
    /// Whether it is handed on by `pub use`.
    pub handed_on: bool,
}

impl Path {
    /// The name under which it is known here.
    pub fn name(&self) -> &str {
        let last = self.parts.last().map_or("", String::as_str);
        self.alias.as_deref().unwrap_or(last)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Then,
    Other(char),
}

/// All paths of a file, groups taken apart; comments, strings and doc links do not count.
pub fn paths(source: &str) -> Vec<Path> {
    let tokens = tokens(&without_prose(source));
    let mut found = Vec::new();
    let mut braces: Vec<Option<String>> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if begins_path(&tokens, at) {
            let (from, handed_on) = (found.len(), after_pub_use(&tokens, at));
            at = read_path(&tokens, at, &[], &mut found);
            for path in &mut found[from..] {
                path.handed_on = handed_on;
                path.within = braces.iter().flatten().cloned().collect();
            }
            continue;
        }
        match &tokens[at].1 {
            Token::Other('{') => braces.push(module_opened(&tokens, at)),
            Token::Other('}') => drop(braces.pop()),
            _ => {}
        }
        at += 1;
    }
    found
}

/// The source with comments, strings and characters blanked out, line by line as before.
pub fn without_prose(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while let Some(&first) = chars.get(at) {
        let end = prose_end(&chars, at);
        if end == at {
            out.push(first);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment, string or character that begins here ends; `at` itself if none does.
fn prose_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match (chars[at], next) {
        ('/', Some('/')) => find(chars, at, |rest| rest[0] == '\n'),
        ('/', Some('*')) => block_comment_end(chars, at),
        ('"', _) => string_end(chars, at),
        ('r', Some('"' | '#')) if !is_word_char(at.checked_sub(1).and_then(|before| chars.get(before))) => {
            raw_string_end(chars, at).unwrap_or(at)
        }
        ('b', Some('r')) if !is_word_char(at.checked_sub(1).and_then(|before| chars.get(before))) => {
            raw_string_end(chars, at + 1).unwrap_or(at)
        }
        ('\'', Some('\\')) => find(chars, at + 3, |rest| rest[0] == '\'') + 1,
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn find(chars: &[char], from: usize, matches: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len())
        .find(|&at| matches(&chars[at..]))
        .unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at < chars.len() {
        match &chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of `r"..."` or `r#"..."#`; none for a raw name.
fn raw_string_end(chars: &[char], from: usize) -> Option<usize> {
    let quote = find(chars, from + 1, |rest| rest[0] != '#');
    let hashes = quote - from - 1;
    (chars.get(quote) == Some(&'"')).then(|| {
        let closes = |rest: &[char]| rest[0] == '"' && rest.iter().skip(1).take_while(|c| **c == '#').count() >= hashes;
        (find(chars, quote + 1, closes) + 1 + hashes).min(chars.len())
    })
}

fn is_word_char(c: Option<&char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || *c == '_')
}

fn tokens(code: &str) -> Vec<(usize, Token)> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !is_word_char(Some(&c))).unwrap_or(rest.len());
            let (token, length) = if word > 0 {
                (Token::Word(rest.split_at(word).0.to_owned()), word)
            } else if rest.starts_with("::") {
                (Token::Then, 2)
            } else {
                (Token::Other(first), first.len_utf8())
            };
            found.push((number + 1, token));
            rest = rest.split_at(length).1.trim_start();
        }
    }
    found
}

fn token(tokens: &[(usize, Token)], at: usize) -> Option<&Token> {
    tokens.get(at).map(|(_, token)| token)
}

fn begins_path(tokens: &[(usize, Token)], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| token(tokens, before));
    let used = before.is_some_and(|before| *before == Token::Word("use".to_owned()));
    matches!(token(tokens, at), Some(Token::Word(_)))
        && before != Some(&Token::Then)
        && (used || token(tokens, at + 1) == Some(&Token::Then))
}

/// Whether `pub use` or `pub(crate) use` stands before.
fn after_pub_use(tokens: &[(usize, Token)], at: usize) -> bool {
    let word = |back: usize, word: &str| {
        let before = at.checked_sub(back).and_then(|before| token(tokens, before));
        before.is_some_and(|before| matches!(before, Token::Word(found) if found == word))
    };
    let bracket = at.checked_sub(2).and_then(|before| token(tokens, before)) == Some(&Token::Other(')'));
    word(1, "use") && (word(2, "pub") || (bracket && (word(5, "pub") || word(6, "pub"))))
}

/// Reads one path, or a whole group, that goes on after `parents`; returns where it ends.
fn read_path(tokens: &[(usize, Token)], from: usize, parents: &[String], found: &mut Vec<Path>) -> usize {
    let line = tokens[from].0;
    let mut parts = parents.to_vec();
    let mut at = from;
    loop {
        match token(tokens, at) {
            Some(Token::Word(word)) => parts.push(word.clone()),
            Some(Token::Other('{')) => return read_group(tokens, at + 1, &parts, found),
            _ => break,
        }
        at += 1;
        if token(tokens, at) != Some(&Token::Then) {
            break;
        }
        at += 1;
    }
    if parts.len() > parents.len().max(1) && parts.last().is_some_and(|last| last == "self") {
        parts.pop();
    }
    let alias = match (token(tokens, at), token(tokens, at + 1)) {
        (Some(Token::Word(keyword)), Some(Token::Word(name))) if keyword == "as" => Some(name.clone()),
        _ => None,
    };
    found.push(Path {
        line,
        within: Vec::new(),
        parts,
        alias,
        handed_on: false,
    });
    at
}

fn read_group(tokens: &[(usize, Token)], from: usize, parents: &[String], found: &mut Vec<Path>) -> usize {
    let mut at = from;
    let mut branch_begins = true;
    while let Some(next) = token(tokens, at) {
        match next {
            Token::Other('}') => return at + 1,
            Token::Other(',') => branch_begins = true,
            Token::Word(_) | Token::Other('*') if branch_begins => {
                branch_begins = false;
                at = read_path(tokens, at, parents, found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    at
}

/// The name in `mod name {` when the brace at `at` opens one.
fn module_opened(tokens: &[(usize, Token)], at: usize) -> Option<String> {
    let keyword = at.checked_sub(2).and_then(|before| token(tokens, before))?;
    match token(tokens, at - 1)? {
        Token::Word(name) if *keyword == Token::Word("mod".to_owned()) => Some(name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Vec<String> {
        paths(source).into_iter().map(|path| path.parts.join("::")).collect()
    }

    #[test]
    fn groups_are_taken_apart() {
        let source = "use crate::{core::{Duration as Span, Wall}, toggle::{self, google::*}};";
        let want = [
            "crate::core::Duration",
            "crate::core::Wall",
            "crate::toggle",
            "crate::toggle::google",
        ];
        assert_eq!(read(source), want);
    }

    #[test]
    fn a_path_inside_a_function_counts_and_prose_does_not() {
        let source = r##"
            //! See [`crate::docs::Link`].
            /* crate::comment::A /* nested */ crate::comment::B */
            fn f<'a>(x: &'a str) -> char {
                let _ = ("crate::text::C \" crate::text::D", r#"crate::raw::E " "#, b"crate::bytes::F", '"', '\'');
                crate::http::get(x)
            }
        "##;
        assert_eq!(read(source), ["crate::http::get"]);
    }

    #[test]
    fn a_name_used_alone_counts() {
        assert_eq!(read("use tokio;\nuse std::fmt;"), ["tokio", "std::fmt"]);
    }

    #[test]
    fn what_is_handed_on_is_known_by_its_new_name() {
        let found =
            paths("pub use fetch::{Way, get as fetch_it};\npub(crate) use dial::Dialled;\nuse expect::Expect as E;");
        let told: Vec<_> = found.iter().map(|path| (path.name(), path.handed_on)).collect();
        assert_eq!(
            told,
            [("Way", true), ("fetch_it", true), ("Dialled", true), ("E", false)]
        );
    }

    #[test]
    fn the_modules_around_a_path_are_known() {
        let found = paths("fn a() { b::c() }\nmod tests { mod inner { use super::super::Thing; } }");
        assert_eq!(found[1].within, ["tests", "inner"]);
        assert_eq!((found[1].line, found[0].within.len()), (2, 0));
    }
}

//! The part of Cloudflare's rules language that redirect rules use: conditions on host, path and method, and targets.

use std::fmt;

/// What an expression is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) method: &'a str,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Always(bool),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Is(Field, Vec<String>),
    Contains(Field, String),
    StartsWith(Field, String),
    EndsWith(Field, String),
}

/// A field of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Host,
    Path,
    Uri,
    Query,
    Method,
}

/// Where a redirect goes: texts and fields, joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Of(Field),
}

/// Why an expression was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unclear(String);

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter parsing error: {}", self.0)
    }
}

impl Condition {
    pub(super) fn parse(text: &str) -> Result<Self, Unclear> {
        let mut parser = Parser::new(text)?;
        let condition = parser.any()?;
        parser.end()?;
        Ok(condition)
    }

    pub(super) fn holds(&self, request: Request<'_>) -> bool {
        match self {
            Self::Always(value) => *value,
            Self::Not(inner) => !inner.holds(request),
            Self::All(parts) => parts.iter().all(|part| part.holds(request)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(request)),
            Self::Is(field, values) => values.contains(&field.of(request)),
            Self::Contains(field, text) => field.of(request).contains(text),
            Self::StartsWith(field, text) => field.of(request).starts_with(text),
            Self::EndsWith(field, text) => field.of(request).ends_with(text),
        }
    }
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, Unclear> {
        let mut parser = Parser::new(text)?;
        let pieces = if parser.takes(&Token::Word("concat".to_owned())) {
            parser.expect(&Token::Open)?;
            let mut pieces = vec![parser.piece()?];
            while parser.takes(&Token::Comma) {
                pieces.push(parser.piece()?);
            }
            parser.expect(&Token::Shut)?;
            pieces
        } else {
            vec![parser.piece()?]
        };
        parser.end()?;
        Ok(Self(pieces))
    }

    pub(super) fn fixed(url: &str) -> Self {
        Self(vec![Piece::Text(url.to_owned())])
    }

    pub(super) fn resolve(&self, request: Request<'_>) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Of(field) => field.of(request),
        };
        self.0.iter().map(piece).collect()
    }
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        match name {
            "http.host" => Some(Self::Host),
            "http.request.uri.path" => Some(Self::Path),
            "http.request.uri" => Some(Self::Uri),
            "http.request.uri.query" => Some(Self::Query),
            "http.request.method" => Some(Self::Method),
            _ => None,
        }
    }

    fn of(self, request: Request<'_>) -> String {
        match self {
            Self::Host => request.host.to_owned(),
            Self::Path => request.path.to_owned(),
            Self::Query => request.query.to_owned(),
            Self::Method => request.method.to_owned(),
            Self::Uri if request.query.is_empty() => request.path.to_owned(),
            Self::Uri => format!("{}?{}", request.path, request.query),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Shut,
    ListOpen,
    ListShut,
    Comma,
}

/// A recursive descent over the tokens; as deep as the text has brackets, which is bounded by [`MAX_TOKENS`].
struct Parser {
    tokens: std::vec::IntoIter<Token>,
    depth: u32,
}

/// Longer expressions than anybody writes; Cloudflare's own limit is 4 KB of text.
const MAX_TOKENS: usize = 2000;
const MAX_DEPTH: u32 = 50;

impl Parser {
    fn new(text: &str) -> Result<Self, Unclear> {
        let tokens = tokens(text)?;
        if tokens.is_empty() || tokens.len() > MAX_TOKENS {
            return Err(Unclear("empty or too long".to_owned()));
        }
        Ok(Self {
            tokens: tokens.into_iter(),
            depth: 0,
        })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.as_slice().first()
    }

    fn takes(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.tokens.next();
        }
        found
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.takes(&Token::Word(word.to_owned()))
    }

    fn expect(&mut self, token: &Token) -> Result<(), Unclear> {
        if self.takes(token) {
            return Ok(());
        }
        Err(Unclear(format!("expected {token:?}, found {:?}", self.peek())))
    }

    fn end(&self) -> Result<(), Unclear> {
        self.peek()
            .map_or(Ok(()), |token| Err(Unclear(format!("unexpected {token:?}"))))
    }

    fn any(&mut self) -> Result<Condition, Unclear> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Unclear("nested too deeply".to_owned()));
        }
        let mut parts = vec![self.all()?];
        while self.takes_word("or") || self.takes_word("||") {
            parts.push(self.all()?);
        }
        self.depth -= 1;
        Ok(one_or(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, Unclear> {
        let mut parts = vec![self.single()?];
        while self.takes_word("and") || self.takes_word("&&") {
            parts.push(self.single()?);
        }
        Ok(one_or(parts, Condition::All))
    }

    fn single(&mut self) -> Result<Condition, Unclear> {
        let mut negated = false;
        while self.takes_word("not") || self.takes_word("!") {
            negated = !negated;
        }
        let condition = self.positive()?;
        Ok(if negated {
            Condition::Not(Box::new(condition))
        } else {
            condition
        })
    }

    fn positive(&mut self) -> Result<Condition, Unclear> {
        if self.takes(&Token::Open) {
            let inner = self.any()?;
            self.expect(&Token::Shut)?;
            return Ok(inner);
        }
        for (word, value) in [("true", true), ("false", false)] {
            if self.takes_word(word) {
                return Ok(Condition::Always(value));
            }
        }
        if self.takes_word("starts_with") {
            let (field, text) = self.arguments()?;
            return Ok(Condition::StartsWith(field, text));
        }
        if self.takes_word("ends_with") {
            let (field, text) = self.arguments()?;
            return Ok(Condition::EndsWith(field, text));
        }
        let field = self.field()?;
        self.comparison(field)
    }

    fn comparison(&mut self, field: Field) -> Result<Condition, Unclear> {
        match self.tokens.next() {
            Some(Token::Word(word)) => match word.as_str() {
                "eq" | "==" => Ok(Condition::Is(field, vec![self.text()?])),
                "ne" | "!=" => Ok(Condition::Not(Box::new(Condition::Is(field, vec![self.text()?])))),
                "contains" => Ok(Condition::Contains(field, self.text()?)),
                "in" => {
                    self.expect(&Token::ListOpen)?;
                    let mut values = vec![self.text()?];
                    while !self.takes(&Token::ListShut) {
                        values.push(self.text()?);
                    }
                    Ok(Condition::Is(field, values))
                }
                other => Err(Unclear(format!("unknown operator `{other}`"))),
            },
            other => Err(Unclear(format!("expected an operator, found {other:?}"))),
        }
    }

    fn arguments(&mut self) -> Result<(Field, String), Unclear> {
        self.expect(&Token::Open)?;
        let field = self.field()?;
        self.expect(&Token::Comma)?;
        let text = self.text()?;
        self.expect(&Token::Shut)?;
        Ok((field, text))
    }

    fn field(&mut self) -> Result<Field, Unclear> {
        match self.tokens.next() {
            Some(Token::Word(name)) => {
                Field::named(&name).ok_or_else(|| Unclear(format!("unknown identifier `{name}`")))
            }
            other => Err(Unclear(format!("expected a field, found {other:?}"))),
        }
    }

    fn text(&mut self) -> Result<String, Unclear> {
        match self.tokens.next() {
            Some(Token::Text(text)) => Ok(text),
            other => Err(Unclear(format!("expected a string, found {other:?}"))),
        }
    }

    fn piece(&mut self) -> Result<Piece, Unclear> {
        if matches!(self.peek(), Some(Token::Text(_))) {
            return Ok(Piece::Text(self.text()?));
        }
        Ok(Piece::Of(self.field()?))
    }
}

fn one_or(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            join(parts)
        }
        None => join(parts),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, Unclear> {
    let mut letters = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(letter) = letters.next() {
        let token = match letter {
            ' ' | '\t' | '\n' | '\r' => continue,
            '(' => Token::Open,
            ')' => Token::Shut,
            '{' => Token::ListOpen,
            '}' => Token::ListShut,
            ',' => Token::Comma,
            '"' => Token::Text(quoted(&mut letters)?),
            _ => {
                let mut word = letter.to_string();
                while let Some(next) = letters.next_if(|next| !" \t\r\n(){},\"".contains(*next)) {
                    word.push(next);
                }
                Token::Word(word)
            }
        };
        tokens.push(token);
    }
    Ok(tokens)
}

fn quoted(letters: &mut impl Iterator<Item = char>) -> Result<String, Unclear> {
    let mut text = String::new();
    loop {
        match letters.next() {
            Some('"') => return Ok(text),
            Some('\\') => text.extend(letters.next()),
            Some(letter) => text.push(letter),
            None => return Err(Unclear("unterminated string".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(host: &'a str, path: &'a str) -> Request<'a> {
        Request {
            host,
            path,
            query: "a=1",
            method: "GET",
        }
    }

    #[test]
    fn the_documented_condition_takes_the_site_and_leaves_the_excluded_paths() {
        let text = "(http.host eq \"site.example\" and not starts_with(http.request.uri.path, \"/healthz\") and not \
                    starts_with(http.request.uri.path, \"/.well-known/\"))";
        let condition = Condition::parse(text).expect("the documented form");
        assert!(condition.holds(request("site.example", "/")));
        assert!(!condition.holds(request("site.example", "/healthz")));
        assert!(!condition.holds(request("site.example", "/.well-known/acme")));
        assert!(!condition.holds(request("other.example", "/")));
    }

    #[test]
    fn or_binds_weaker_than_and_and_lists_match_any() {
        let condition =
            Condition::parse("http.host in {\"a\" \"b\"} and http.request.uri.path ne \"/x\" or http.host eq \"c\"");
        let condition = condition.expect("a well-formed condition");
        assert!(condition.holds(request("b", "/y")));
        assert!(!condition.holds(request("b", "/x")));
        assert!(condition.holds(request("c", "/x")));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "http.host",
            "http.host eq",
            "http.hots eq \"a\"",
            "(true",
            "true true",
            "http.host eq \"a",
        ] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_target_joins_texts_and_fields() {
        let target = Target::parse("concat(\"https://standby.example.net\", http.request.uri.path)").expect("a target");
        assert_eq!(
            target.resolve(request("site.example", "/a/b")),
            "https://standby.example.net/a/b"
        );
        assert!(Target::parse("concat(http.host").is_err());
    }
}

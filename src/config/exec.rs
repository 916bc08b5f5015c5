//! Reads what a switch of kind `exec` runs.

use std::path::Path;

use super::inspector::Inspector;
use super::source::KeyPath;

/// The program and its arguments.
pub(super) fn command(inspector: &mut Inspector<'_>, path: &KeyPath, words: &[String]) -> Option<Vec<String>> {
    let path = path.join("command");
    let Some(program) = words.first() else {
        let fix = "name a program and its arguments: command = [\"/usr/local/bin/switch\", \"blog\"]";
        inspector.complain(&path, "is missing", fix);
        return None;
    };
    if !Path::new(program).is_absolute() {
        let fix = "write the whole path: it is run without a shell and without a search";
        inspector.complain(&path, "names a program without its whole path", fix);
        return None;
    }
    if words.iter().any(|word| word.contains('\0')) {
        inspector.complain(&path, "holds a NUL", "take it out");
        return None;
    }
    Some(words.to_vec())
}

/// Complains of the keys that belong to the other kinds.
pub(super) fn alone(inspector: &mut Inspector<'_>, path: &KeyPath, others: &[(&str, bool)]) {
    for (key, present) in others {
        if *present {
            inspector.complain(
                &path.join(*key),
                "does not belong to this kind",
                "take it out: an exec knows nothing but its `command`",
            );
        }
    }
}

//! Reads one source file into what the rules speak of: the paths that it names, resolved through its imports, and the
//! lengths of its functions. Comments and strings are no tokens, and test modules are left out.

use std::{
    collections::{BTreeSet, HashMap},
    str::FromStr as _,
};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Paths named outside tests, resolved: `crate::hsm::Signer`, `std::env::set_var`, or the keyword `unsafe`.
    pub(crate) mentions: Vec<Mention>,
    /// Functions outside tests.
    pub(crate) functions: Vec<Function>,
    /// Modules of other files that are compiled for tests alone, as full paths.
    pub(crate) test_modules: Vec<Vec<String>>,
}

/// A path and where it stands.
#[derive(Debug)]
pub(crate) struct Mention {
    /// Its segments.
    pub(crate) path: Vec<String>,
    /// Line, from 1.
    pub(crate) line: usize,
}

/// A function and its length.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// Lines of its body that hold code; comments and blank lines are free.
    pub(crate) length: usize,
}

/// Reads `text`, the file of `module` (`["hsm", "pool"]`, empty for the crate root).
pub(crate) fn read(text: &str, module: &[String]) -> Source {
    let tokens = TokenStream::from_str(text).unwrap_or_else(|error| panic!("{module:?}: {error}"));
    let mut reader = Reader {
        module: module.to_vec(),
        ..Reader::default()
    };
    reader.items(tokens);
    let Reader {
        mut source,
        imports,
        ..
    } = reader;
    for mention in &mut source.mentions {
        mention.path = resolve(std::mem::take(&mut mention.path), &imports);
    }
    source
}

/// Replaces a first segment that an import brought in by what it stands for. Chains of imports end after a few steps.
fn resolve(mut path: Vec<String>, imports: &HashMap<String, Vec<String>>) -> Vec<String> {
    for _ in 0..4 {
        let Some(imported) = path.first().and_then(|first| imports.get(first)) else {
            break;
        };
        if imported.first() == path.first() {
            break;
        }
        path.splice(0..1, imported.iter().cloned());
    }
    path
}

#[derive(Default)]
struct Reader {
    module: Vec<String>,
    source: Source,
    imports: HashMap<String, Vec<String>>,
}

impl Reader {
    fn items(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = self.item(&tokens, at);
        }
    }

    /// Reads what begins at `at` and says where the next begins.
    fn item(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        match &tokens[at] {
            TokenTree::Punct(hash) if hash.as_char() == '#' => self.attribute(tokens, at),
            TokenTree::Group(group) => {
                self.items(group.stream());
                at + 1
            }
            TokenTree::Ident(ident) => match ident.to_string().as_str() {
                "use" => self.import(tokens, at + 1),
                "mod" => self.inline_module(tokens, at + 1),
                "fn" => self.function(tokens, at + 1),
                _ => self.path(tokens, at),
            },
            _ => at + 1,
        }
    }

    /// `#[cfg(test)]` takes the item after it out; any other attribute is read for the paths in it.
    fn attribute(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let Some(TokenTree::Group(attribute)) = tokens.get(at + 1) else {
            return at + 1;
        };
        if !is_test_only(attribute) {
            self.items(attribute.stream());
            return at + 2;
        }
        let rest = &tokens[at + 2..];
        let last = rest
            .iter()
            .position(ends_item)
            .map_or(rest.len(), |end| end + 1);
        if let Some(at) = rest[..last].iter().position(|token| is_ident(token, "mod"))
            && let Some(TokenTree::Ident(name)) = rest.get(at + 1)
        {
            let mut module = self.module.clone();
            module.push(name.to_string());
            self.source.test_modules.push(module);
        }
        at + 2 + last
    }

    fn inline_module(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) =
            (tokens.get(at), tokens.get(at + 1))
        else {
            return at + 1;
        };
        self.module.push(name.to_string());
        self.items(body.stream());
        self.module.pop();
        at + 2
    }

    fn function(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        // `fn(u8) -> u8` is a type: it has no name.
        let Some(TokenTree::Ident(name)) = tokens.get(at) else {
            return at;
        };
        let body = tokens[at..].iter().find(|token| ends_item(token));
        if let Some(TokenTree::Group(body)) = body {
            self.source.functions.push(Function {
                name: name.to_string(),
                line: name.span().start().line,
                length: lines_of(body),
            });
        }
        at + 1
    }

    fn import(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let end = tokens[at..].iter().position(|token| is_punct(token, ';'));
        let end = end.map_or(tokens.len(), |length| at + length);
        self.use_tree(&tokens[at..end], &[]);
        end
    }

    /// `prefix::{a, b::c as d, *}`: each leaf is a mention and, unless it is `*` or `_`, a name in this file.
    fn use_tree(&mut self, tree: &[TokenTree], prefix: &[String]) {
        let mut path = prefix.to_vec();
        let mut rest = tree.iter();
        let mut renamed = None;
        let mut line = 0;
        while let Some(token) = rest.next() {
            match token {
                TokenTree::Ident(word) if word == "as" => {
                    renamed = rest.next().map(ToString::to_string)
                }
                TokenTree::Ident(word) => {
                    line = word.span().start().line;
                    path.push(word.to_string());
                }
                TokenTree::Group(group) => {
                    let branches: Vec<_> = group.stream().into_iter().collect();
                    for branch in branches.split(|token| is_punct(token, ',')) {
                        self.use_tree(branch, &path);
                    }
                    return;
                }
                _ => {}
            }
        }
        if line == 0 {
            return;
        }
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        let full = self.absolute(path);
        if let Some(name) = renamed.or_else(|| full.last().cloned()) {
            self.imports.insert(name, full.clone());
        }
        self.source.mentions.push(Mention { path: full, line });
    }

    /// `a::b::c` in code. What follows a dot is a method or a field, not a path.
    fn path(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let line = tokens[at].span().start().line;
        let mut path = vec![tokens[at].to_string()];
        let mut end = at + 1;
        while let [colon, second, TokenTree::Ident(next), ..] = &tokens[end..]
            && is_punct(colon, ':')
            && is_punct(second, ':')
        {
            path.push(next.to_string());
            end += 3;
        }
        let is_member = at > 0 && is_punct(&tokens[at - 1], '.');
        if (path.len() > 1 && !is_member) || path == ["unsafe"] {
            let path = self.absolute(path);
            self.source.mentions.push(Mention { path, line });
        }
        end
    }

    /// `self`, `super` and, in the crate root, nothing at all stand for the module's place below `crate`.
    fn absolute(&self, path: Vec<String>) -> Vec<String> {
        let mut here = self.module.clone();
        let mut rest = path.as_slice();
        match rest.first().map(String::as_str) {
            Some("self") => rest = &rest[1..],
            Some("super") => {
                while rest.first().is_some_and(|first| first == "super") {
                    here.pop();
                    rest = &rest[1..];
                }
            }
            _ => return path,
        }
        std::iter::once("crate".to_owned())
            .chain(here)
            .chain(rest.iter().cloned())
            .collect()
    }
}

/// `[cfg(test)]`, `[cfg(all(test, ...))]`, `[test]`, `[tokio::test]`.
fn is_test_only(attribute: &Group) -> bool {
    let text: String = attribute.to_string().split_whitespace().collect();
    let is_cfg = text.starts_with("[cfg(test") || text.starts_with("[cfg(all(test");
    is_cfg || text == "[test]" || text.ends_with("::test]")
}

/// An item ends with a semicolon or with its braces.
fn ends_item(token: &TokenTree) -> bool {
    is_punct(token, ';')
        || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn is_punct(token: &TokenTree, c: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == c)
}

fn is_ident(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn lines_of(body: &Group) -> usize {
    let mut lines = BTreeSet::new();
    collect_lines(body.stream(), &mut lines);
    lines.len()
}

fn collect_lines(tokens: TokenStream, lines: &mut BTreeSet<usize>) {
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            lines.insert(group.span_open().start().line);
            collect_lines(group.stream(), lines);
            lines.insert(group.span_close().end().line);
        } else {
            lines.extend(token.span().start().line..=token.span().end().line);
        }
    }
}

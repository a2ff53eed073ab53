//! What modules of a crate, or of a room in it, use of each other, from their sources.

use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, Meta, Token, UseTree};

use super::order::Order;
use super::read;

/// Adds what the sources in `place` use against the order, from the root of the crate down.
pub(super) fn check(
    root: &Path,
    place: &str,
    order: &Order,
    found: &mut Vec<String>,
) -> Result<(), String> {
    let top = ["lib.rs", "main.rs", "mod.rs"]
        .map(|name| root.join(place).join(name))
        .into_iter()
        .find(|path| path.exists())
        .ok_or_else(|| format!("{place} has no lib.rs, main.rs or mod.rs"))?;
    // Below the root of the crate.
    let room: Vec<String> = match place.split_once("/src/") {
        Some((_, room)) => room.split('/').map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let mut look = Look {
        root,
        order,
        found,
        file: top.clone(),
        modules: room.clone(),
        room,
        problem: None,
    };
    let children = root.join(place);
    look.file(top, &children);
    match look.problem {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

/// A walk through a crate.
struct Look<'a> {
    root: &'a Path,
    order: &'a Order,
    found: &'a mut Vec<String>,
    /// The file that is being read.
    file: PathBuf,
    /// The path of the room whose order it is, below the root of the crate: empty for the crate.
    room: Vec<String>,
    /// The path of the module that is being read, likewise.
    modules: Vec<String>,
    problem: Option<String>,
}

impl Look<'_> {
    /// Reads `file`, whose modules in files of their own are in the folder `children`.
    fn file(&mut self, file: PathBuf, children: &Path) {
        let parsed = read(&file).and_then(|text| {
            syn::parse_file(&text).map_err(|error| format!("{}: {error}", file.display()))
        });
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(problem) => {
                self.problem.get_or_insert(problem);
                return;
            }
        };
        let before = std::mem::replace(&mut self.file, file);
        self.items(&parsed.items, children);
        self.file = before;
    }

    fn items(&mut self, items: &[Item], children: &Path) {
        for item in items {
            match item {
                Item::Mod(module) if is_production(&module.attrs) => self.module(module, children),
                Item::Mod(_) => {}
                item => self.visit_item(item),
            }
        }
    }

    fn module(&mut self, module: &ItemMod, children: &Path) {
        let name = module.ident.to_string();
        let folder = children.join(&name);
        if let (Some((_, items)), true) = (&module.content, self.modules == self.room) {
            // It stands in the root, and is of it.
            return self.items(items, &folder);
        }
        self.modules.push(name);
        match &module.content {
            Some((_, items)) => self.items(items, &folder),
            None => {
                let beside = folder.with_extension("rs");
                let file = match beside.exists() {
                    true => beside,
                    false => folder.join("mod.rs"),
                };
                self.file(file, &folder);
            }
        }
        self.modules.pop();
    }

    /// A path of the crate's own, from its root, is used at `line`.
    fn uses(&mut self, path: &[String], line: usize) {
        let Some(user) = self.modules.get(self.room.len()) else {
            return;
        };
        let by_macro = path.first().is_some_and(|first| first == "$crate");
        let Some(used) = module_of(&self.modules, &self.room, path) else {
            return;
        };
        if by_macro && !self.order.has(&used) {
            return;
        }
        if &used != user
            && let Some(objection) = self.order.objection(user, &used)
        {
            let file = self.file.strip_prefix(self.root).unwrap_or(&self.file);
            self.found
                .push(format!("{}:{line}: {objection}", file.display()));
        }
    }

    fn tree(&mut self, tree: &UseTree, path: &mut Vec<String>) {
        match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.tree(&step.tree, path);
                path.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, path)),
            UseTree::Name(name) => self.leaf(&name.ident, path),
            UseTree::Rename(name) => self.leaf(&name.ident, path),
            UseTree::Glob(glob) => {
                path.push("*".to_owned());
                self.uses(path, glob.star_token.spans[0].start().line);
                path.pop();
            }
        }
    }

    fn leaf(&mut self, name: &proc_macro2::Ident, path: &mut Vec<String>) {
        path.push(name.to_string());
        self.uses(path, name.span().start().line);
        path.pop();
    }

    /// Paths among the tokens of a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        let mut after_dollar = false;
        for token in tokens {
            let is_named_by_macro = std::mem::take(&mut after_dollar);
            match token {
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        self.uses(&path, line);
                        path.clear();
                        line = word.span().start().line;
                    }
                    path.push(word.to_string());
                    // In a macro `$crate` is how its user comes to what the root shows to everybody.
                    if is_named_by_macro && path == ["crate"] {
                        path[0] = "$crate".to_owned();
                    }
                    colons = 0;
                }
                TokenTree::Punct(sign) if sign.as_char() == ':' => colons += 1,
                other => {
                    after_dollar =
                        matches!(&other, TokenTree::Punct(sign) if sign.as_char() == '$');
                    self.uses(&path, line);
                    path.clear();
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.uses(&path, line);
    }
}

impl<'ast> Visit<'ast> for Look<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_production(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path
            .segments
            .iter()
            .map(|step| step.ident.to_string())
            .collect();
        if let Some(first) = path.segments.first() {
            self.uses(&words, first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if is_production(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

/// The module of `room` that `path` leads into, if it begins with `crate` or leaves by `super`.
fn module_of(modules: &[String], room: &[String], path: &[String]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let (above, rest) = match first.as_str() {
        "crate" | "$crate" => (&[][..], rest),
        "super" => {
            let more = rest.iter().take_while(|word| *word == "super").count();
            let kept = modules.len().saturating_sub(more + 1);
            (&modules[..kept], &rest[more..])
        }
        _ => return None,
    };
    let mut whole = above.iter().chain(rest);
    let leads_there = room.iter().all(|module| whole.next() == Some(module));
    if leads_there {
        whole.next().cloned()
    } else {
        None
    }
}

/// Whether what has these attributes is compiled for more than tests.
fn is_production(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .filter(|it| it.path().is_ident("cfg"))
        .all(|it| match &it.meta {
            Meta::List(list) => match syn::parse2::<Meta>(list.tokens.clone()) {
                Ok(condition) => holds(&condition) != Some(false),
                Err(_) => true,
            },
            _ => true,
        })
}

/// Whether the condition holds where `test` does not; `None`: that depends on other things.
fn holds(condition: &Meta) -> Option<bool> {
    if condition.path().is_ident("test") {
        return Some(false);
    }
    let Meta::List(list) = condition else {
        return None;
    };
    let parts = list
        .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
        .ok()?;
    let mut parts = parts.iter().map(holds);
    if list.path.is_ident("not") {
        parts.next()?.map(|held| !held)
    } else if list.path.is_ident("all") {
        match parts.any(|held| held == Some(false)) {
            true => Some(false),
            false => None,
        }
    } else {
        match parts.all(|held| held == Some(false)) {
            true => Some(false),
            false => None,
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::ExternCrate(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::ForeignMod(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::TraitAlias(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Union(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

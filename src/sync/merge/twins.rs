//! One record with two pages: copies of one home that use one key make one id, and often two paths.

use std::collections::HashMap;

use git2::Oid;

use super::Error;
use super::shape::{self, Shape, Tail};
use crate::model::layout::ROOTS;
use crate::sync::tree::Trees;

/// Where the tree has pages whose names end as those of arrivals do.
#[derive(Default)]
pub(super) struct Twins {
    by_end: HashMap<u32, Vec<String>>,
}

impl Twins {
    /// Those in `tree`, for names that end in one of `tails`. No page is read.
    pub(super) fn of(trees: &Trees<'_>, tree: Option<Oid>, tails: impl Iterator<Item = Tail>) -> Result<Twins, Error> {
        let mut by_end: HashMap<u32, Vec<String>> = tails.map(|tail| (tail.end(), Vec::new())).collect();
        if by_end.is_empty() || tree.is_none() {
            return Ok(Twins { by_end });
        }
        for root in ROOTS {
            trees.each(tree, root, &mut |path, _| {
                if let Some(paths) = Tail::of(path).and_then(|tail| by_end.get_mut(&tail.end()))
                    && matches!(shape::of(path), Shape::Page(_))
                {
                    paths.push(path.to_owned());
                }
                Ok(())
            })?;
        }
        Ok(Twins { by_end })
    }

    /// Notes that the tree has a page at `path` now.
    pub(super) fn add(&mut self, tail: Tail, path: &str) {
        let paths = self.by_end.entry(tail.end()).or_default();
        if !paths.iter().any(|it| it == path) {
            paths.push(path.to_owned());
        }
    }

    /// The paths other than `path` at which the record of a page with this `tail` can be.
    pub(super) fn beside(&self, tail: Tail, path: &str) -> Vec<String> {
        let paths = self.by_end.get(&tail.end()).into_iter().flatten();
        paths.filter(|it| *it != path).cloned().collect()
    }
}

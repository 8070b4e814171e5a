//! [`List`]: repeated fields of a frame, each read when it is its turn.
//!
//! A frame of small fields would become many times its size as structures. So none are built:
//! the pass over the frame counts, and the frame itself is what is kept.

use bytes::Bytes;

use super::super::message_id::MessageId;
use crate::protobuf::{Fields, Value};

/// Field numbers, from the outermost message inwards; the last one is of the items themselves.
pub(super) type Path = &'static [u32];

/// How deep a path goes at most: an id in an entry of control.
const MAX_DEPTH: usize = 3;

/// Items of a frame, in its order. Holds the frame; allocates nothing by itself.
pub struct List<T> {
    buffer: Bytes,
    path: Path,
    len: usize,
    read: fn(&Bytes, &[u8]) -> Option<T>,
}

/// Iterates over a [`List`].
pub struct Iter<'a, T> {
    list: &'a List<T>,
    walk: Walk<'a>,
    left: usize,
}

impl<T> List<T> {
    /// The `len` fields at `path` in `buffer` of which `read` makes something.
    pub(super) fn new(
        buffer: &Bytes,
        path: Path,
        len: usize,
        read: fn(&Bytes, &[u8]) -> Option<T>,
    ) -> Self {
        // Most lists are empty, and need not hold the frame.
        let buffer = if len == 0 { Bytes::new() } else { buffer.clone() };
        List { buffer, path, len, read }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The items, each built anew.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { list: self, walk: Walk::new(&self.buffer, self.path), left: self.len }
    }
}

impl List<MessageId> {
    /// The ids, not copied: for looking them up.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        Walk::new(&self.buffer, self.path).filter(|bytes| MessageId::check(bytes).is_ok())
    }
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        // Nothing is looked for behind the last item.
        self.left = self.left.checked_sub(1)?;
        let List { buffer, read, .. } = self.list;
        self.walk.find_map(|bytes| read(buffer, bytes))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        List { buffer: self.buffer.clone(), path: self.path, len: self.len, read: self.read }
    }
}

impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for List<T> {}

impl<T: core::fmt::Debug> core::fmt::Debug for List<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// The contents of the fields at a path, on a frame that is known to be well-formed. Where it is
/// not, the walk leaves the message.
struct Walk<'a> {
    path: Path,
    levels: [Fields<'a>; MAX_DEPTH],
    depth: usize,
}

impl<'a> Walk<'a> {
    fn new(buffer: &'a [u8], path: Path) -> Self {
        debug_assert!((1..=MAX_DEPTH).contains(&path.len()), "{path:?}");
        Walk { path, levels: [Fields::new(buffer), Fields::new(&[]), Fields::new(&[])], depth: 0 }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            match self.levels.get_mut(self.depth)?.next() {
                None | Some(Err(_)) => self.depth = self.depth.checked_sub(1)?,
                Some(Ok((number, Value::Bytes(bytes))))
                    if Some(&number) == self.path.get(self.depth) =>
                {
                    if self.depth + 1 == self.path.len() {
                        return Some(bytes);
                    }
                    self.depth += 1;
                    *self.levels.get_mut(self.depth)? = Fields::new(bytes);
                }
                Some(Ok((_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed))) => {}
            }
        }
    }
}

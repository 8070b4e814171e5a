//! DER as a tree, so that a change deep inside leaves the lengths around it right.

use crate::change::Change;
use crate::script::Operation;

/// An element: a tag, a length and a content.
#[derive(Clone, Debug)]
pub(super) struct Element {
    tag: u8,
    length: Length,
    content: Content,
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Shortest,
    /// In so many bytes behind the first, which is against DER when fewer would do.
    Long(usize),
    /// Against DER always.
    Indefinite,
}

#[derive(Clone, Debug)]
enum Content {
    Bytes(Vec<u8>),
    /// Elements; in a bit string behind the number of unused bits.
    Elements(Vec<u8>, Vec<Element>),
}

const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const CONSTRUCTED: u8 = 0x20;

impl Element {
    /// The whole of `bytes` as one element.
    pub(super) fn parse(bytes: &[u8]) -> Option<Element> {
        let [element] = <[Element; 1]>::try_from(parse_all(bytes)?).ok()?;
        Some(element)
    }

    /// A sequence.
    pub(super) fn sequence(elements: Vec<Element>) -> Element {
        let content = Content::Elements(Vec::new(), elements);
        Element { tag: CONSTRUCTED | 0x10, length: Length::Shortest, content }
    }

    /// A bit string of whole bytes.
    pub(super) fn bit_string(bytes: &[u8]) -> Element {
        let content = Content::Bytes([&[0], bytes].concat());
        Element { tag: BIT_STRING, length: Length::Shortest, content }
    }

    /// An octet string.
    pub(super) fn octet_string(bytes: &[u8]) -> Element {
        let content = Content::Bytes(bytes.to_vec());
        Element { tag: OCTET_STRING, length: Length::Shortest, content }
    }

    /// The elements inside, of which it must have some.
    pub(super) fn inside(&mut self) -> &mut Vec<Element> {
        match &mut self.content {
            Content::Elements(_, elements) => elements,
            Content::Bytes(_) => panic!("no elements inside"),
        }
    }

    /// The encoding.
    pub(super) fn encode(&self) -> Vec<u8> {
        let content = match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Elements(prefix, elements) => {
                let elements = elements.iter().flat_map(Element::encode);
                prefix.iter().copied().chain(elements).collect()
            }
        };
        let mut encoded = vec![self.tag];
        let length = content.len().to_be_bytes();
        let significant = length.iter().skip_while(|byte| **byte == 0).count();
        match self.length {
            Length::Shortest if content.len() < 128 => encoded.push(length[length.len() - 1]),
            Length::Shortest => {
                encoded.push(0x80 | significant as u8);
                encoded.extend_from_slice(&length[length.len() - significant..]);
            }
            Length::Long(bytes) => {
                encoded.push(0x80 | bytes as u8);
                encoded.extend(std::iter::repeat_n(0, bytes.saturating_sub(length.len())));
                encoded.extend_from_slice(&length[length.len().saturating_sub(bytes)..]);
            }
            Length::Indefinite => encoded.push(0x80),
        }
        encoded.extend_from_slice(&content);
        if let Length::Indefinite = self.length {
            encoded.extend_from_slice(&[0, 0]);
        }
        encoded
    }
}

fn parse_all(mut bytes: &[u8]) -> Option<Vec<Element>> {
    let mut elements = Vec::new();
    while let [tag, first, after @ ..] = bytes {
        let long = if *first < 128 { 0 } else { usize::from(first & 0x7f) };
        let (digits, after) = after.split_at_checked(long)?;
        let length = match long {
            0 => usize::from(*first),
            1..=4 => digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)),
            _ => return None,
        };
        let (content, rest) = after.split_at_checked(length)?;
        let nested = match (*tag, content) {
            (BIT_STRING, [0, inner @ ..]) if inner.starts_with(&[0x30]) => {
                parse_all(inner).map(|inner| (vec![0], inner))
            }
            (OCTET_STRING, inner) if inner.starts_with(&[0x30]) => {
                parse_all(inner).map(|inner| (Vec::new(), inner))
            }
            (tag, inner) if tag & CONSTRUCTED != 0 => {
                parse_all(inner).map(|inner| (Vec::new(), inner))
            }
            _ => None,
        };
        let content = match nested {
            Some((prefix, elements)) => Content::Elements(prefix, elements),
            None => Content::Bytes(content.to_vec()),
        };
        elements.push(Element { tag: *tag, length: Length::Shortest, content });
        bytes = rest;
    }
    bytes.is_empty().then_some(elements)
}

/// A change of one element, which `index` picks, all counted from the outside in.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    kind: u8,
    index: u8,
    at: u8,
    value: u8,
}

const KINDS: u8 = 16;

impl Edit {
    /// The length takes `value` modulo 8 bytes behind its first, or is indefinite with 0.
    pub const LENGTH: u8 = 2;
    /// The element comes once more.
    pub const REPEAT: u8 = 4;
    /// The kinds from here on change the content, or else the tag, as [`Change`] does.
    pub const CONTENT: u8 = 8;

    /// A kind is one of the constants, or what [`Edit::apply`] says.
    pub fn new(kind: u8, index: u8, at: u8, value: u8) -> Self {
        Edit { kind: kind % KINDS, index, at, value }
    }

    /// Changes the tree.
    pub(super) fn apply(self, root: &mut Element) {
        let Content::Elements(_, elements) = &mut root.content else { return };
        let mut index = usize::from(self.index);
        self.find(elements, &mut index);
    }

    fn find(self, elements: &mut Vec<Element>, index: &mut usize) -> bool {
        for number in 0..elements.len() {
            if *index == 0 {
                self.apply_to(elements, number);
                return true;
            }
            *index -= 1;
            if let Content::Elements(_, inside) = &mut elements[number].content
                && self.find(inside, index)
            {
                return true;
            }
        }
        false
    }

    fn apply_to(self, elements: &mut Vec<Element>, number: usize) {
        let other = usize::from(self.at) % elements.len();
        let element = &mut elements[number];
        match self.kind {
            0 => element.tag = self.value,
            1 => element.tag ^= 1 << (self.value % 8),
            Edit::LENGTH => {
                element.length = match usize::from(self.value % 12) {
                    0 => Length::Indefinite,
                    bytes => Length::Long(bytes),
                };
            }
            3 => drop(elements.remove(number)),
            // Each may hold all others: bounded by the number of edits, not by 2 to its power.
            Edit::REPEAT if element.encode().len() < 10_000 => {
                let copy = element.clone();
                elements.insert(number, copy);
            }
            5 => elements.swap(number, other),
            6 => element.content = Content::Bytes(vec![self.value; self.at.into()]),
            7 => {
                let inside = std::mem::replace(element, Element::octet_string(&[]));
                *element = Element::sequence(vec![inside]);
            }
            kind => {
                let change = Change::new(kind, self.at.into(), self.value);
                match &mut element.content {
                    Content::Bytes(bytes) => change.apply(bytes),
                    Content::Elements(prefix, _) => change.apply(prefix),
                }
            }
        }
    }
}

impl Operation for Edit {
    fn decode([kind, index, at, value]: [u8; 4]) -> Self {
        Edit::new(kind, index, at, value)
    }

    fn encode(&self) -> [u8; 4] {
        [self.kind, self.index, self.at, self.value]
    }
}

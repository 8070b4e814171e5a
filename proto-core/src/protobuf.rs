//! A walk over the fields of a protobuf message that allocates nothing.
//!
//! A decoder walks a frame of a remote first, counts what repeats and refuses what is over its
//! bounds, and only then lets `prost` build anything: otherwise a megabyte of empty repeated
//! fields becomes hundreds of megabytes of structures.
//!
//! Specification: <https://protobuf.dev/programming-guides/encoding/>.

/// The value of one field, as its wire type has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 2: a string, bytes or a message.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5, which no message of libp2p uses.
    Fixed,
}

/// The bytes are no protobuf message: a field is cut short, has no valid number or wire type, or
/// is a group, which proto2 deprecated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Iterates over the fields of `0`, in the order of the wire. After an error it ends.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of `message`.
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Fields(message)
    }

    /// What was not walked over yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        // Ten bytes hold 64 bits; protobuf allows encodings that are longer than necessary.
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                return Err(Malformed);
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok((number, value)),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn walk(message: &[u8]) -> Vec<Result<(u32, Value<'_>), Malformed>> {
        Fields::new(message).collect()
    }

    #[test]
    fn fields_come_in_the_order_of_the_wire() {
        assert_eq!(
            walk(&[0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69, 0x1d, 0, 0, 0, 0]),
            [Ok((1, Value::Varint(150))), Ok((2, Value::Bytes(b"hi"))), Ok((3, Value::Fixed))]
        );
        assert_eq!(walk(&[]), []);
    }

    #[test]
    fn what_is_cut_short_or_has_no_valid_number_is_malformed() {
        for message in [
            &[0x08][..],
            &[0x12, 0x03, 0x68, 0x69],
            &[0x0d, 0, 0, 0],
            &[0x09, 0, 0, 0],
            &[0x0b],
            &[0x02, 0x00],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ] {
            assert_eq!(walk(message), [Err(Malformed)], "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics_and_the_walk_ends(message: Vec<u8>) {
            prop_assert!(walk(&message).len() <= message.len());
        }
    }
}

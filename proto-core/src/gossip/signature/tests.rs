use proptest::prelude::*;
use prost::Message as _;
use serde::Deserialize;

use super::*;
use crate::identity::decode_private_key;
use crate::rng::Seed;

/// One identity of each type of key, from the specification of peer ids.
fn identities() -> Vec<Identity> {
    #[derive(Deserialize)]
    struct File {
        vectors: Vec<Vector>,
    }
    #[derive(Deserialize)]
    struct Vector {
        private: String,
    }
    let file = include_str!("../../../tests/vectors/peer_ids.json");
    let file: File = serde_json::from_str(file).unwrap();
    let identity = |vector: Vector| {
        let key = data_encoding::HEXLOWER.decode(vector.private.as_bytes()).unwrap();
        Identity::new(decode_private_key(&key).unwrap(), &Seed::from_u64(1)).unwrap()
    };
    file.vectors.into_iter().map(identity).collect()
}

fn ed25519() -> Author {
    Author::new(Identity::ed25519(&Seed::from_u64(1)), 1_700_000_000_000_000_000)
}

fn topic() -> Topic {
    Topic::new("news").unwrap()
}

fn signed(author: &mut Author) -> WireMessage {
    author.message(SignaturePolicy::StrictSign, topic(), "data").unwrap()
}

fn fields_of(message: &WireMessage) -> MessageFields {
    let mut fields = MessageFields::new(message.topic.clone(), message.data.clone());
    fields.from = message.from.clone();
    fields.seqno = message.seqno.clone();
    fields.signature = message.signature.clone();
    fields.key = message.key.clone();
    fields
}

fn changed(message: &WireMessage, change: impl FnOnce(&mut MessageFields)) -> WireMessage {
    let mut fields = fields_of(message);
    change(&mut fields);
    fields.encode()
}

/// What comes of the check, both steps of it.
fn check(message: &WireMessage) -> Result<(), SignatureError> {
    SignatureCheck::of(message)?.verify()
}

#[test]
fn every_type_of_key_signs_what_verifies() {
    for identity in identities() {
        let public = identity.public_key().encode_protobuf();
        let mut author = Author::new(identity.clone(), 7);
        let message = signed(&mut author);
        assert_eq!(message.source(), Ok(Some(identity.peer_id())));
        assert_eq!(message.sequence_number(), Some(7));
        // The key travels only where the peer id does not contain it (42 bytes or fewer).
        assert_eq!(message.key.is_some(), public.len() > 42, "{}", identity.peer_id());
        assert_eq!(SignaturePolicy::StrictSign.check_fields(&message), Ok(()));
        let prepared = SignatureCheck::of(&message).unwrap();
        assert_eq!(prepared.public_key, public);
        assert_eq!(prepared.verify(), Ok(()));
        for other in [
            changed(&message, |fields| fields.data = "date".into()),
            changed(&message, |fields| fields.topic = Topic::new("olds").unwrap()),
            changed(&message, |fields| fields.seqno = Some(vec![0; 8].into())),
            changed(&message, |fields| fields.signature = Some(vec![1; 64].into())),
        ] {
            assert_eq!(check(&other), Err(SignatureError::Signature));
        }
    }
}

#[test]
fn a_key_may_travel_though_the_peer_id_contains_it() {
    let message = signed(&mut ed25519());
    let key = Identity::ed25519(&Seed::from_u64(1)).public_key().encode_protobuf();
    assert_eq!(check(&changed(&message, |fields| fields.key = Some(key.into()))), Ok(()));
}

#[test]
fn the_key_must_be_the_authors() {
    let message = signed(&mut ed25519());
    let other = Identity::ed25519(&Seed::from_u64(2));
    let key = other.public_key().encode_protobuf();
    let with_other = changed(&message, |fields| fields.key = Some(key.into()));
    assert_eq!(check(&with_other), Err(SignatureError::OtherKey));
    // Signed by somebody else in the author's name.
    let mut forger = Author::new(other, 1);
    let forged = changed(&signed(&mut forger), |fields| fields.from = message.from.clone());
    assert_eq!(check(&forged), Err(SignatureError::Signature));
    let broken = changed(&message, |fields| fields.key = Some(vec![].into()));
    assert_eq!(check(&broken), Err(SignatureError::Key(KeyError::Malformed)));
}

#[test]
fn a_peer_id_that_is_a_hash_needs_the_key() {
    let rsa = identities()
        .into_iter()
        .find(|identity| identity.peer_id().as_ref().code() != IDENTITY_CODE);
    let mut author = Author::new(rsa.unwrap(), 1);
    let message = signed(&mut author);
    let without = changed(&message, |fields| fields.key = None);
    assert_eq!(check(&without), Err(SignatureError::NoKey));
}

#[test]
fn what_is_signed_is_the_message_without_signature_and_key_behind_a_prefix() {
    let fields = changed(&signed(&mut ed25519()), |fields| {
        fields.from = Some(Bytes::from_static(b"F"));
        fields.seqno = Some(Bytes::from_static(b"N"));
        fields.key = Some(Bytes::from_static(b"K"));
    });
    let expected = b"libp2p-pubsub:\x0a\x01F\x12\x04data\x1a\x01N\x22\x04news";
    assert_eq!(signing_input(&fields), &expected[..]);
}

#[test]
fn absent_data_and_empty_data_are_not_signed_alike() {
    let absent = WireMessage::decode(&Bytes::from_static(b"\x22\x01t")).unwrap();
    let empty = WireMessage::decode(&Bytes::from_static(b"\x12\x00\x22\x01t")).unwrap();
    assert_eq!(signing_input(&absent), &b"libp2p-pubsub:\x22\x01t"[..]);
    assert_eq!(signing_input(&empty), &b"libp2p-pubsub:\x12\x00\x22\x01t"[..]);
}

#[test]
fn unknown_fields_are_signed_and_the_order_of_the_wire_is_not() {
    let bytes = b"\x2a\x01S\x38\x05\x22\x01t\x12\x01x\x12\x01d\x7a\x01?\x0a\x01F";
    let message = WireMessage::decode(&Bytes::from_static(bytes)).unwrap();
    let expected = b"libp2p-pubsub:\x0a\x01F\x12\x01d\x22\x01t\x38\x05\x7a\x01?";
    assert_eq!(signing_input(&message), &expected[..]);
}

#[test]
fn strict_sign_wants_author_number_and_signature() {
    let policy = SignaturePolicy::StrictSign;
    let good = signed(&mut ed25519());
    let refused = |change: fn(&mut MessageFields)| {
        let message = changed(&good, change);
        let error = policy.check_fields(&message).unwrap_err();
        // The crypto step wants them too.
        assert_eq!(SignatureCheck::of(&message), Err(SignatureError::Fields(error)));
        error
    };
    assert_eq!(refused(|fields| fields.from = None), FieldsError::NoSource);
    assert_eq!(refused(|fields| fields.from = Some(Bytes::new())), FieldsError::Source);
    assert_eq!(refused(|fields| fields.seqno = None), FieldsError::NoSequenceNumber);
    let seqno = |fields: &mut MessageFields| fields.seqno = Some(vec![1; 7].into());
    assert_eq!(refused(seqno), FieldsError::SequenceNumber(7));
    assert_eq!(refused(|fields| fields.signature = None), FieldsError::NoSignature);
    let empty = |fields: &mut MessageFields| fields.signature = Some(Bytes::new());
    assert_eq!(refused(empty), FieldsError::NoSignature);
}

#[test]
fn strict_no_sign_wants_none_of_it() {
    let policy = SignaturePolicy::StrictNoSign;
    let mut author = ed25519();
    let good = author.message(policy, topic(), "data").unwrap();
    assert_eq!(good.encoded, &b"\x12\x04data\x22\x04news"[..]);
    assert_eq!(policy.check_fields(&good), Ok(()));
    let refused =
        |change: fn(&mut MessageFields)| policy.check_fields(&changed(&good, change)).unwrap_err();
    let empty = |fields: &mut MessageFields| fields.from = Some(Bytes::new());
    assert_eq!(refused(empty), FieldsError::UnexpectedSource);
    let seqno = |fields: &mut MessageFields| fields.seqno = Some(vec![0; 8].into());
    assert_eq!(refused(seqno), FieldsError::UnexpectedSequenceNumber);
    let signature = |fields: &mut MessageFields| fields.signature = Some(Bytes::new());
    assert_eq!(refused(signature), FieldsError::UnexpectedSignature);
    let key = |fields: &mut MessageFields| fields.key = Some(Bytes::new());
    assert_eq!(refused(key), FieldsError::UnexpectedKey);
    assert!(policy.check_fields(&signed(&mut author)).is_err());
}

#[test]
fn anonymous_says_nothing_and_bears_authors_that_nobody_proves() {
    let policy = SignaturePolicy::Anonymous;
    let mut author = ed25519();
    let good = author.message(policy, topic(), "data").unwrap();
    assert_eq!((&good.from, &good.seqno, &good.signature), (&None, &None, &None));
    assert_eq!(policy.check_fields(&good), Ok(()));
    let signed = signed(&mut author);
    assert_eq!(policy.check_fields(&signed), Err(FieldsError::UnexpectedSignature));
    let unsigned = changed(&signed, |fields| fields.signature = None);
    assert_eq!(policy.check_fields(&unsigned), Ok(()));
    let with_key = changed(&unsigned, |fields| fields.key = Some(Bytes::new()));
    assert_eq!(policy.check_fields(&with_key), Err(FieldsError::UnexpectedKey));
}

#[test]
fn sequence_numbers_begin_where_they_are_told_to_and_count_signed_messages() {
    let mut author = Author::new(Identity::ed25519(&Seed::from_u64(1)), 41);
    let numbers: Vec<Option<u64>> =
        [SignaturePolicy::StrictSign, SignaturePolicy::Anonymous, SignaturePolicy::StrictSign]
            .map(|policy| author.message(policy, topic(), "").unwrap().sequence_number())
            .into();
    assert_eq!(numbers, [Some(41), None, Some(42)]);
    let mut last = Author::new(Identity::ed25519(&Seed::from_u64(1)), u64::MAX);
    assert_eq!(signed(&mut last).sequence_number(), Some(u64::MAX));
    assert_eq!(signed(&mut last).sequence_number(), Some(0));
}

proptest! {
    #[test]
    fn any_flipped_bit_is_noticed(at: prop::sample::Index, bit in 0u8..8) {
        let good = signed(&mut ed25519());
        let mut bytes = good.encoded.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        if let Ok(message) = WireMessage::decode(&bytes.into()) {
            prop_assert!(check(&message).is_err(), "bit {bit} of byte {at}");
        }
    }

    #[test]
    fn prost_signs_the_same(
        from in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
        data in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
        seqno in prop::option::of(prop::collection::vec(any::<u8>(), 0..10)),
        signature in prop::option::of(prop::collection::vec(any::<u8>(), 0..10)),
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..10)),
    ) {
        let bytes = |bytes: Option<Vec<u8>>| bytes.map(Bytes::from);
        let mut message = wire::Message {
            from: bytes(from),
            data: bytes(data),
            seqno: bytes(seqno),
            topic: Some(Bytes::from_static(b"t")),
            signature: bytes(signature),
            key: bytes(key),
        };
        let received = WireMessage::decode(&message.encode_to_vec().into()).unwrap();
        (message.signature, message.key) = (None, None);
        let expected = [SIGNATURE_PREFIX, &message.encode_to_vec()].concat();
        prop_assert_eq!(signing_input(&received), expected);
    }

    #[test]
    fn no_message_panics(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(message) = WireMessage::decode(&bytes.into()) {
            prop_assert!(signing_input(&message).starts_with(SIGNATURE_PREFIX));
            prop_assert!(check(&message).is_err());
        }
    }
}

use super::*;
use crate::identity::Identity;
use crate::rng::Seed;
use crate::tls::{Handshake, HandshakeConfig, Secured, TlsIdentity};
use proptest::prelude::*;

impl Sealer {
    /// Changes the key as `update_key` does, and asks the remote to do so too.
    pub(crate) fn ask_for_update(&mut self, out: &mut Vec<u8>) {
        let next = self.shared.next(KeySchedule::next_sealing).unwrap();
        self.append(HANDSHAKE, &[24, 0, 0, 1, 1], out).unwrap();
        self.cipher = Cipher::new(next);
    }
}

/// Both sides of one session.
fn session() -> (Secured, Secured) {
    let identity = |number| {
        let seed = Seed::from_u64(number);
        TlsIdentity::new(&Identity::ed25519(&seed), &seed).unwrap()
    };
    let config = HandshakeConfig { unix_seconds: 1_800_000_000, ..Default::default() };
    let (ours, theirs) = (identity(1), identity(2));
    let mut dialer = Handshake::new(Role::Dialer, &ours, &Seed::from_u64(3), config.clone());
    let mut listener = Handshake::new(Role::Listener, &theirs, &Seed::from_u64(4), config);
    while !(dialer.is_finished() && listener.is_finished()) {
        let mut wire = Vec::new();
        dialer.transmit(&mut wire);
        listener.handle(&wire).unwrap();
        wire.clear();
        listener.transmit(&mut wire);
        dialer.handle(&wire).unwrap();
    }
    (dialer.finish().unwrap(), listener.finish().unwrap())
}

/// A key that is not rustls', so that tests of one direction need no handshake.
fn cipher(suite: Suite) -> Cipher {
    let key = TrafficKey { suite, key: [7; 32].into(), iv: [9; 12].into() };
    Cipher::new(key)
}

fn sealed(sealer: &mut Sealer, plaintext: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    sealer.seal(plaintext, &mut wire).unwrap();
    wire
}

fn of_kind(cipher: &mut Cipher, kind: u8, content: &[u8]) -> Vec<u8> {
    let mut wire = [&[0; HEADER_BYTES][..], content].concat();
    cipher.seal(kind, &mut wire, 0).unwrap();
    wire
}

/// What `wire` amounts to, record by record; data is collected.
fn open_all(opener: &mut Opener, wire: &mut [u8]) -> Result<(Vec<u8>, Vec<Opened>), RecordError> {
    let (mut data, mut all) = (Vec::new(), Vec::new());
    let mut rest = wire;
    while let Some(header) = rest.first_chunk() {
        let (record, after) = rest.split_at_mut(record_bytes(*header)?);
        let opened = opener.open(record)?;
        if let Opened::Data(length) = opened {
            data.extend_from_slice(&record[HEADER_BYTES..HEADER_BYTES + length]);
        }
        all.push(opened);
        rest = after;
    }
    Ok((data, all))
}

#[test]
fn every_suite_opens_what_it_seals() {
    for suite in [Suite::Aes128Gcm, Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
        let (mut sealer, mut opener) = (cipher(suite), cipher(suite));
        for length in [0, 1, 100, MAX_PLAINTEXT_BYTES] {
            let mut wire = of_kind(&mut sealer, APPLICATION_DATA, &vec![5; length]);
            assert_eq!(wire.len(), HEADER_BYTES + length + TRAILER_BYTES);
            assert_eq!(opener.open(&mut wire), Ok((APPLICATION_DATA, length)), "{suite:?}");
            assert_eq!(wire[HEADER_BYTES..HEADER_BYTES + length], vec![5; length]);
            sealer.schedule = None;
        }
    }
}

#[test]
fn longer_plaintexts_are_split_and_a_longer_record_is_refused() {
    let (mut dialer, mut listener) = session();
    let text = vec![3; 2 * MAX_PLAINTEXT_BYTES + 1];
    let mut wire = sealed(&mut dialer.sealer, &text);
    let (data, records) = open_all(&mut listener.opener, &mut wire).unwrap();
    assert_eq!((data.len(), records.len()), (text.len(), 3));

    let start = dialer.sealer.begin_record(&mut wire);
    wire.extend_from_slice(&[0; MAX_PLAINTEXT_BYTES + 1]);
    let refused = Err(RecordError::TooLong(MAX_PLAINTEXT_BYTES + 1));
    assert_eq!(dialer.sealer.end_record(&mut wire, start), refused);
    assert_eq!(wire.len(), start);
    // The session goes on.
    let mut wire = sealed(&mut dialer.sealer, b"more");
    assert_eq!(open_all(&mut listener.opener, &mut wire).unwrap().0, b"more");
}

#[test]
fn headers_are_refused_before_anything_is_buffered() {
    assert_eq!(record_bytes([23, 3, 3, 0, 17]), Ok(22));
    assert_eq!(record_bytes([23, 3, 3, 0, 16]), Err(RecordError::TooShort(21)));
    assert_eq!(record_bytes([23, 3, 3, 0x41, 0]), Ok(MAX_RECORD_BYTES));
    assert_eq!(record_bytes([23, 3, 3, 0x41, 1]), Err(RecordError::TooLong(MAX_RECORD_BYTES + 1)));
    for kind in [0, 20, 21, 22, 24, 255] {
        assert_eq!(record_bytes([kind, 3, 3, 0, 17]), Err(RecordError::Type(kind)));
    }
}

#[test]
fn padding_is_taken_off_and_a_record_of_padding_alone_is_refused() {
    let mut sealer = cipher(Suite::Aes128Gcm);
    let mut opener = cipher(Suite::Aes128Gcm);
    // What `seal` puts behind the content is the last zero.
    let mut padded = of_kind(&mut sealer, 0, b"abc\x17\0\0\0");
    assert_eq!(opener.open(&mut padded), Ok((APPLICATION_DATA, 3)));
    let mut nothing = of_kind(&mut sealer, 0, &[0; 9]);
    assert_eq!(opener.open(&mut nothing), Err(RecordError::Type(0)));
}

#[test]
fn one_side_closes_and_the_other_may_still_send() {
    let (mut dialer, mut listener) = session();
    let mut wire = sealed(&mut dialer.sealer, b"last");
    dialer.sealer.close(&mut wire).unwrap();
    let closed = wire.len();
    dialer.sealer.close(&mut wire).unwrap();
    assert_eq!(wire.len(), closed);
    assert_eq!(dialer.sealer.seal(b"later", &mut wire), Err(RecordError::Ended));
    assert_eq!(wire.len(), closed);
    let opened = open_all(&mut listener.opener, &mut wire).unwrap();
    assert_eq!(opened, (b"last".to_vec(), vec![Opened::Data(4), Opened::Closed]));
    assert_eq!(listener.opener.open(&mut [1; 30]), Ok(Opened::Closed));
    let mut back = sealed(&mut listener.sealer, b"answer");
    assert_eq!(open_all(&mut dialer.opener, &mut back).unwrap().0, b"answer");
}

#[test]
fn giving_up_tells_the_remote_why() {
    let (mut dialer, mut listener) = session();
    let mut wire = Vec::new();
    dialer.sealer.give_up(RecordError::Forged, &mut wire).unwrap();
    assert_eq!(open_all(&mut listener.opener, &mut wire), Err(RecordError::Alert(20)));
}

#[test]
fn a_change_of_keys_is_answered_once_before_the_next_data() {
    let (mut dialer, mut listener) = session();
    let asking = [24, 0, 0, 1, 1];
    for _ in 0..3 {
        let mut wire = Vec::new();
        let next = dialer.sealer.shared.next(KeySchedule::next_sealing).unwrap();
        dialer.sealer.append(HANDSHAKE, &asking, &mut wire).unwrap();
        dialer.sealer.cipher = Cipher::new(next);
        assert_eq!(listener.opener.open(&mut wire), Ok(Opened::Nothing));
    }
    let mut wire = sealed(&mut dialer.sealer, b"new key");
    assert_eq!(open_all(&mut listener.opener, &mut wire).unwrap().0, b"new key");

    for expected in [vec![Opened::Nothing, Opened::Data(2)], vec![Opened::Data(2)]] {
        let mut back = sealed(&mut listener.sealer, b"ok");
        let opened = open_all(&mut dialer.opener, &mut back).unwrap();
        assert_eq!(opened, (b"ok".to_vec(), expected));
    }
}

#[test]
fn the_key_is_changed_before_it_is_used_up() {
    let (mut dialer, mut listener) = session();
    dialer.sealer.cipher.sequence = MAX_AES_GCM_RECORDS - 3;
    listener.opener.cipher.sequence = MAX_AES_GCM_RECORDS - 3;
    let mut records = Vec::new();
    for _ in 0..4 {
        let mut wire = sealed(&mut dialer.sealer, b"data");
        let (data, opened) = open_all(&mut listener.opener, &mut wire).unwrap();
        assert_eq!(data, b"data");
        records.push(opened.len());
    }
    assert_eq!(records, [1, 1, 2, 1]);
    assert_eq!(dialer.sealer.cipher.sequence, 2);
}

#[test]
fn the_last_sequence_number_is_an_error() {
    let mut cipher = cipher(Suite::ChaCha20Poly1305);
    cipher.sequence = u64::MAX;
    let mut wire = vec![0; 10];
    assert_eq!(cipher.seal(APPLICATION_DATA, &mut wire, 0), Err(RecordError::Ended));
    assert_eq!(cipher.open(&mut [0; 30]), Err(RecordError::Ended));
}

#[test]
fn what_is_not_due_after_the_handshake_is_refused() {
    let cases: [(u8, &[u8], RecordError); 6] = [
        (20, &[1], RecordError::Type(20)),
        (ALERT, &[], RecordError::Malformed),
        (ALERT, &[1, 0, 0], RecordError::Malformed),
        (ALERT, &[WARNING, 42], RecordError::Alert(42)),
        (HANDSHAKE, &[], RecordError::Malformed),
        (HANDSHAKE, &[1, 0, 0, 0], RecordError::Malformed),
    ];
    for (kind, content, expected) in cases {
        let (mut dialer, mut listener) = session();
        let mut wire = of_kind(&mut dialer.sealer.cipher, kind, content);
        assert_eq!(listener.opener.open(&mut wire), Err(expected));
    }
}

#[test]
fn replayed_and_reordered_records_are_forged() {
    let (mut dialer, mut listener) = session();
    let first = sealed(&mut dialer.sealer, b"1");
    let second = sealed(&mut dialer.sealer, b"2");
    assert_eq!(listener.opener.open(&mut second.clone()), Err(RecordError::Forged));
    assert_eq!(listener.opener.open(&mut first.clone()), Ok(Opened::Data(1)));
    assert_eq!(listener.opener.open(&mut first.clone()), Err(RecordError::Forged));
    assert_eq!(listener.opener.open(&mut second.clone()), Ok(Opened::Data(1)));
}

#[test]
fn an_idle_session_keeps_no_schedule() {
    let (mut dialer, mut listener) = session();
    let mut wire = sealed(&mut dialer.sealer, b"data");
    listener.opener.open(&mut wire).unwrap();
    assert!(dialer.sealer.cipher.schedule.is_some() && listener.opener.cipher.schedule.is_some());
    dialer.sealer.release();
    listener.opener.release();
    assert!(dialer.sealer.cipher.schedule.is_none() && listener.opener.cipher.schedule.is_none());
    let mut wire = sealed(&mut dialer.sealer, b"again");
    assert_eq!(open_all(&mut listener.opener, &mut wire).unwrap().0, b"again");
}

proptest! {
    #[test]
    fn one_flipped_bit_is_forged(
        plaintext in proptest::collection::vec(any::<u8>(), 0..300),
        bit: proptest::sample::Index,
    ) {
        let mut sealer = cipher(Suite::Aes128Gcm);
        let mut wire = of_kind(&mut sealer, APPLICATION_DATA, &plaintext);
        let bit = bit.index(wire.len() * 8);
        wire[bit / 8] ^= 1 << (bit % 8);
        let mut opener = cipher(Suite::Aes128Gcm);
        prop_assert_eq!(opener.open(&mut wire), Err(RecordError::Forged));
        prop_assert_eq!(opener.sequence, 0);
    }
}

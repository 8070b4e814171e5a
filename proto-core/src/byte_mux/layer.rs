//! A layer below the first negotiated byte.

/// Changes every byte on its way to and from the transport, without changing how many there are.
/// Pre-shared-key networks (pnet v1) are one: each side sends a nonce in the clear, and everything
/// behind it is XORed with a key stream.
pub trait StreamLayer: Send {
    /// What is sent in the clear before everything else. Called once.
    fn preamble(&mut self) -> Vec<u8>;

    /// How many bytes the remote sends in the clear before everything else.
    fn preamble_bytes(&self) -> usize;

    /// Takes the remote's preamble; it has [`StreamLayer::preamble_bytes`] bytes. Called once.
    fn handle_preamble(&mut self, preamble: &[u8]);

    /// Undoes the remote's change of the next received bytes, in place.
    fn decrypt(&mut self, received: &mut [u8]);

    /// Changes the next bytes to be sent, in place.
    fn encrypt(&mut self, sent: &mut [u8]);
}

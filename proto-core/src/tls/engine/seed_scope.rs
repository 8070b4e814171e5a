//! [`SeedScope`]: where rustls draws its randomness from.

use std::cell::RefCell;

use crate::rng::Rng;

thread_local! {
    /// The generator of the scope that this thread is in. rustls asks for randomness through
    /// statics, so there is no other way to hand it the generator of one connection.
    static DRAWS: RefCell<Option<Rng>> = const { RefCell::new(None) };
}

/// While one is alive, what rustls draws on this thread comes from the given generator. Outside
/// of any, every draw is an error: nothing falls back on the operating system.
///
/// Scopes nest; the inner one counts. When one ends, its generator has moved on by what was drawn.
pub(in crate::tls) struct SeedScope<'a> {
    rng: &'a mut Rng,
    outer: Option<Rng>,
}

impl<'a> SeedScope<'a> {
    /// Enters a scope that draws from `rng`. It is to be left on this thread, before any scope
    /// that was entered earlier: bind it to a variable around one call of rustls.
    pub(in crate::tls) fn enter(rng: &'a mut Rng) -> Self {
        let outer = DRAWS.replace(Some(rng.clone()));
        SeedScope { rng, outer }
    }
}

impl Drop for SeedScope<'_> {
    fn drop(&mut self) {
        if let Some(drawn_from) = DRAWS.replace(self.outer.take()) {
            *self.rng = drawn_from;
        }
    }
}

/// There is no scope to draw from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoScope;

/// Fills `dest` from the innermost scope.
pub(super) fn draw(dest: &mut [u8]) -> Result<(), NoScope> {
    DRAWS.with_borrow_mut(|rng| rng.as_mut().map(|rng| rng.fill(dest)).ok_or(NoScope))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    fn drawn() -> Result<[u8; 8], NoScope> {
        let mut bytes = [0; 8];
        draw(&mut bytes).map(|()| bytes)
    }

    #[test]
    fn draws_outside_of_a_scope_are_errors() {
        assert_eq!(drawn(), Err(NoScope));
        let mut rng = Seed::from_u64(1).rng();
        drop(SeedScope::enter(&mut rng));
        assert_eq!(drawn(), Err(NoScope));
    }

    #[test]
    fn scopes_continue_where_the_last_left_and_nest() {
        let (mut one, mut two) = (Seed::from_u64(1).rng(), Seed::from_u64(2).rng());
        let (mut plain_one, mut plain_two) = (one.clone(), two.clone());
        let scope = SeedScope::enter(&mut one);
        assert_eq!(drawn(), Ok(plain_one.bytes()));
        {
            let _inner = SeedScope::enter(&mut two);
            assert_eq!(drawn(), Ok(plain_two.bytes()));
        }
        assert_eq!(drawn(), Ok(plain_one.bytes()));
        drop(scope);
        let _again = SeedScope::enter(&mut one);
        assert_eq!(drawn(), Ok(plain_one.bytes()));
    }
}

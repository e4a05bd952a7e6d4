//! Who may do what: tokens, loopback, and the refusals.
//!
//! There are two roles. An admin token may do everything; a user token may read. Where no user token is configured,
//! reading is open to clients on the loopback interface, unless a proxy there passes on the requests of others.

mod client;
mod tokens;

pub use client::{AdminToken, NoAdminToken, admin_client_token, client_token};
pub use tokens::{AuthError, Loaded, TokenSources, load};

use super::problem::ApiError;
use hyper::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, FORWARDED, HeaderName, HeaderValue, VIA},
};
use std::{fmt, net::IpAddr};
use subtle::{Choice, ConstantTimeEq};
use tokens::Token;

/// What proxies say of those whose requests they pass on.
const OF_PROXIES: [HeaderName; 4] =
    [FORWARDED, VIA, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Open,
    /// A user's or an admin's token.
    User,
    /// An admin's token.
    Admin,
}

/// The tokens that are accepted.
#[derive(Clone, Default)]
pub struct Access {
    users: Vec<Token>,
    admins: Vec<Token>,
}

/// How many tokens there are; never the tokens.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("users", &self.users.len())
            .field("admins", &self.admins.len())
            .finish()
    }
}

/// What a client has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Wrong,
    User,
    Admin,
}

impl Access {
    /// Decides on a request for a route, before anything else of the request is looked at.
    pub(super) fn check(&self, need: Need, headers: &HeaderMap, peer: IpAddr) -> Result<(), ApiError> {
        if need == Need::Open {
            return Ok(());
        }
        match (self.shown(headers), need) {
            (Shown::Admin, _) | (Shown::User, Need::User) => Ok(()),
            (Shown::User, _) => Err(ApiError::new(StatusCode::FORBIDDEN, "Not enough permissions")),
            // also where reading is open: who shows a token expects it to count
            (Shown::Wrong, _) => Err(ApiError::unauthorized("Could not validate credentials")),
            (Shown::Nothing, Need::User) if self.users.is_empty() && is_local(headers, peer) => Ok(()),
            (Shown::Nothing, _) => Err(ApiError::unauthorized("Not authenticated")),
        }
    }

    fn shown(&self, headers: &HeaderMap) -> Shown {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let Some(first) = all.next() else { return Shown::Nothing };
        if all.next().is_some() {
            return Shown::Wrong;
        }
        match bearer(first) {
            Some(token) => self.role(token),
            None => Shown::Nothing,
        }
    }

    /// Compares with every token there is, so that the time taken tells nothing of which one was near.
    fn role(&self, shown: &[u8]) -> Shown {
        let Some(shown) = Token::of_request(shown) else { return Shown::Wrong };
        let any = |tokens: &[Token]| {
            tokens.iter().fold(Choice::from(0), |found, token| found | token.ct_eq(&shown))
        };
        let (admin, user) = (any(&self.admins), any(&self.users));
        if admin.into() {
            Shown::Admin
        } else if user.into() {
            Shown::User
        } else {
            Shown::Wrong
        }
    }
}

/// Whether the client is on this machine: a proxy here is not, where it passes on what others ask.
fn is_local(headers: &HeaderMap, peer: IpAddr) -> bool {
    peer.to_canonical().is_loopback() && !OF_PROXIES.iter().any(|name| headers.contains_key(name))
}

/// The token of `Bearer TOKEN`; nothing where the scheme is another one.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let bytes = value.as_bytes().trim_ascii();
    let (scheme, token) = bytes.split_at_checked("bearer".len())?;
    let separated = token.first().is_none_or(u8::is_ascii_whitespace);
    (scheme.eq_ignore_ascii_case(b"bearer") && separated).then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "user-token-0123456789";
    const ADMIN: &str = "admin-token-0123456789";
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn access(users: &[&str]) -> Access {
        let tokens = |texts: &[&str]| texts.iter().map(|text| Token::configured(text).unwrap()).collect();
        Access { users: tokens(users), admins: tokens(&[ADMIN]) }
    }

    fn status(access: &Access, need: Need, authorization: Option<&str>, peer: IpAddr) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(text) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(text).unwrap());
        }
        access.check(need, &headers, peer).map_or_else(|error| error.status().as_u16(), |()| 200)
    }

    #[test]
    fn roles() {
        let access = access(&[USER]);
        let (user, admin) = (format!("Bearer {USER}"), format!("bearer  {ADMIN} "));
        for (need, shown, expected) in [
            (Need::Open, None, 200),
            (Need::Open, Some("Bearer nonsense"), 200),
            (Need::User, None, 401),
            (Need::User, Some(&*user), 200),
            (Need::User, Some(&*admin), 200),
            (Need::Admin, Some(&*user), 403),
            (Need::Admin, Some(&*admin), 200),
            (Need::Admin, None, 401),
            (Need::Admin, Some("Bearer"), 401),
            (Need::Admin, Some("Bearer admin-token-012345678"), 401),
            (Need::Admin, Some("Basic YTpi"), 401),
            (Need::User, Some(""), 401),
        ] {
            assert_eq!(status(&access, need, shown, HERE), expected, "{need:?} {shown:?}");
        }
    }

    #[test]
    fn reading_is_open_on_loopback_only_and_only_without_user_tokens() {
        let open = access(&[]);
        let far: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(status(&open, Need::User, None, HERE), 200);
        assert_eq!(status(&open, Need::User, None, mapped), 200);
        assert_eq!(status(&open, Need::User, None, far), 401);
        assert_eq!(status(&open, Need::Admin, None, HERE), 401);
        assert_eq!(status(&open, Need::User, Some("Bearer wrong"), HERE), 401);
    }

    #[test]
    fn what_a_proxy_passes_on_is_not_local() {
        for name in ["Forwarded", "X-Forwarded-For", "x-real-ip", "VIA"] {
            let mut headers = HeaderMap::new();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            // even an empty one, even one that names this machine
            for value in ["", "127.0.0.1"] {
                headers.insert(name.clone(), HeaderValue::from_static(value));
                let refused = access(&[]).check(Need::User, &headers, HERE).unwrap_err();
                assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{name}: {value}");
                assert!(access(&[]).check(Need::Open, &headers, HERE).is_ok());
            }
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {USER}")).unwrap());
            assert!(access(&[USER]).check(Need::User, &headers, HERE).is_ok());
        }
    }

    #[test]
    fn two_authorization_headers_are_one_too_many() {
        let mut headers = HeaderMap::new();
        for _ in 0..2 {
            headers.append(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {ADMIN}")).unwrap());
        }
        assert!(access(&[]).check(Need::Admin, &headers, HERE).is_err());
    }

    #[test]
    fn tokens_are_not_shown() {
        assert!(!format!("{:?}", access(&[USER])).contains("token"));
    }
}

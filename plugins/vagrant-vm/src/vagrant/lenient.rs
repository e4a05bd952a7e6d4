//! JSON of which nothing is certain: a value of another type than the wanted one is as good as none, and whatever is not
//! wanted is passed over without being kept, however large or deep it is.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::{fmt, marker::PhantomData};

/// What a value may be wanted as. Each type takes one kind of values.
pub(crate) trait Wanted: Sized {
    fn text(_: &str) -> Option<Self> {
        None
    }

    fn number(_: f64) -> Option<Self> {
        None
    }

    fn object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// A value, as far as it is one.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Lenient<T> {
    /// Not there, or null.
    #[default]
    Missing,
    /// Of another type.
    Odd,
    Good(T),
}

impl<T> Lenient<T> {
    pub(crate) fn good(self) -> Option<T> {
        match self {
            Self::Good(value) => Some(value),
            Self::Missing | Self::Odd => None,
        }
    }
}

impl<T> From<Option<T>> for Lenient<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Odd, Self::Good)
    }
}

impl Wanted for String {
    fn text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Wanted for f64 {
    fn number(number: f64) -> Option<Self> {
        Some(number)
    }
}

impl<'de, T: Wanted> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Anything(PhantomData))
    }
}

struct Anything<T>(PhantomData<T>);

impl<'de, T: Wanted> Visitor<'de> for Anything<T> {
    type Value = Lenient<T>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Lenient::Missing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Lenient::Odd)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(T::number(number as f64).into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(T::number(number as f64).into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(T::number(number).into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::text(text).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Lenient::Odd)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        T::object(object).map(Lenient::from)
    }
}

/// An object whose keys are the fields of the type; other keys are passed over.
macro_rules! wanted_object {
    ($type:ty) => {
        impl $crate::vagrant::lenient::Wanted for $type {
            fn object<'de, A: serde::de::MapAccess<'de>>(object: A) -> Result<Option<Self>, A::Error> {
                let object = serde::de::value::MapAccessDeserializer::new(object);
                serde::Deserialize::deserialize(object).map(Some)
            }
        }
    };
}
pub(crate) use wanted_object;

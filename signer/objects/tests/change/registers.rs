//! Custodians documents: what they say, and what is refused with its reason.

use semops_objects::change::{CustodianState, Custodians, CustodiansError, PersonMistake};
use semops_objects::key::KeyId;
use semops_pki::local_key::LocalKey;

use crate::world::{Entry, World, alfa, digest, document, person};

fn entry<'a>(person: &'a str, keys: &'a [&'a LocalKey]) -> Entry<'a> {
    let state = "active";
    Entry {
        person,
        state,
        keys,
    }
}

#[test]
fn a_register_says_what_stands_in_it() {
    let world = World::new();
    let text = world.register(1, 2);
    let register = Custodians::parse(text.as_bytes()).unwrap();
    assert_eq!((register.institution(), register.version()), (&alfa(), 1));
    assert_eq!(
        (register.quorum().get(), register.sha256()),
        (2, digest(&text))
    );
    let persons = register.persons().iter();
    let said: Vec<_> = persons
        .map(|one| (one.person().as_str(), one.name(), one.approval_keys().len()))
        .collect();
    let expected = [("anna", 2), ("boris", 1), ("chloe", 1), ("dora", 1)];
    assert_eq!(said, expected.map(|(person, keys)| (person, person, keys)));
    let active: Vec<_> = register.active().map(|one| one.person().as_str()).collect();
    assert_eq!(active, ["anna", "boris", "chloe"]);
    let recovery = register.recovery().unwrap();
    assert_eq!(recovery.approval_key(), world.key("recovery").public_key());
    assert_eq!(recovery.delay(), 72 * 3600);

    let holder = |name| register.holder(KeyId::of(world.key(name).public_key()));
    for (key, who) in [("anna", "anna"), ("anna-2", "anna"), ("chloe", "chloe")] {
        let (custodian, found) = holder(key).unwrap();
        assert_eq!(custodian.person(), &person(who));
        assert_eq!(custodian.state(), CustodianState::Active);
        assert_eq!(found, world.key(key).public_key());
    }
    assert_eq!(holder("dora").unwrap().0.state(), CustodianState::Suspended);
    assert!(holder("recovery").is_none() && holder("stranger").is_none());
}

#[test]
fn members_are_all_there_and_no_others() {
    let world = World::new();
    let text = world.register(1, 2);
    let refused = |text: &str| {
        let error = Custodians::parse(text.as_bytes()).unwrap_err();
        matches!(error, CustodiansError::Form(_))
    };
    let needed = [
        "institution = \"alfa\"\n",
        "version = 1\n",
        "quorum = 2\n",
        "person = \"anna\"\n",
        "name = \"anna\"\n",
        "state = \"active\"\n",
        "delay_hours = 72 ",
    ];
    for line in needed {
        let line = line.trim_end();
        assert!(refused(&text.replacen(line, "", 1)), "without {line}");
        assert!(
            refused(&text.replacen(line, &format!("{line}\n{line}"), 1)),
            "twice {line}"
        );
        let other = line.replacen(" =", "x =", 1);
        assert!(refused(&text.replacen(line, &other, 1)), "{other}");
    }
    for (from, to) in [
        ("version = 1", "version = 0"),
        ("version = 1", "version = -1"),
        ("version = 1", "version = \"1\""),
        ("quorum = 2", "quorum = 256"),
        ("quorum = 2", "quorum = 2.0"),
        ("\"alfa\"", "\"Alfa\""),
        ("\"active\"", "\"Active\""),
        ("quorum = 2", "quorum = 2\nmore = 1"),
        ("person = \"anna\"", "person = \"anna\"\nmore = 1"),
        ("delay_hours = 72", "delay_hours = 72, more = 1"),
    ] {
        assert!(refused(&text.replacen(from, to, 1)), "{to}");
    }
    let comment = format!("{text}#{}", "x".repeat(256 << 10));
    assert!(refused(&comment));
    assert!(Custodians::parse(b"\xff").is_err());
    let without = text.replacen("recovery = ", "# ", 1);
    let without =
        without.split_once("# ").unwrap().0.to_owned() + &text[text.find("[[").unwrap()..];
    assert_eq!(
        Custodians::parse(without.as_bytes()).unwrap().recovery(),
        None
    );
}

#[test]
fn persons_and_keys_stand_there_once() {
    let keys: Vec<_> = (0..6).map(|_| LocalKey::generate().unwrap()).collect();
    let one = |at: usize| [&keys[at]];
    let (first, second, third, fourth) = (one(0), one(1), one(2), one(3));
    let three = [
        entry("anna", &first),
        entry("boris", &second),
        entry("chloe", &third),
    ];
    let all: Vec<_> = keys.iter().collect();
    let recovery = |key: usize, hours: u64| {
        let pem = keys[key].public_key().to_spki_pem();
        format!("recovery = {{ approval_key = \"\"\"{pem}\"\"\", delay_hours = {hours} }}\n")
    };
    let read = |more: &[Entry<'_>], top: &str| {
        let entries = [&three[..], more].concat();
        Custodians::parse(document(1, 2, &entries, top).as_bytes())
    };
    let mistake = |more: &[Entry<'_>], top: &str| match read(more, top).unwrap_err() {
        CustodiansError::Person { why, .. } | CustodiansError::Recovery(why) => why,
        other => panic!("{other}"),
    };
    use PersonMistake as M;
    assert!(read(&[], "").is_ok());
    assert!(read(&[entry("dora", &all[3..6])], &recovery(0, 72)).is_err());
    assert_eq!(mistake(&[entry("boris", &fourth)], ""), M::Twice);
    assert_eq!(
        mistake(&[entry("dora", &second)], ""),
        M::KeyTwice { at: 1 }
    );
    let pair = [&keys[3], &keys[3]];
    assert_eq!(mistake(&[entry("dora", &pair)], ""), M::KeyTwice { at: 2 });
    assert_eq!(mistake(&[entry("recovery", &fourth)], ""), M::Reserved);
    assert_eq!(mistake(&[entry("dora", &[])], ""), M::Keys(0));
    assert_eq!(mistake(&[entry("dora", &all[1..])], ""), M::Keys(5));
    assert!(matches!(mistake(&[entry("Dora", &fourth)], ""), M::Text(_)));
    assert_eq!(mistake(&[], &recovery(1, 72)), M::KeyTwice { at: 1 });
    for hours in [24, 720] {
        assert!(read(&[], &recovery(4, hours)).is_ok());
    }
    for hours in [0, 23, 721] {
        assert_eq!(mistake(&[], &recovery(4, hours)), M::Delay);
    }
    let bad_pem = document(1, 2, &three, "").replacen("PUBLIC", "PRIVATE", 1);
    assert!(Custodians::parse(bad_pem.as_bytes()).is_err());
    let bad_name = document(1, 2, &three, "").replacen("name = \"anna\"", "name = \" \"", 1);
    assert!(Custodians::parse(bad_name.as_bytes()).is_err());
}

#[test]
fn a_register_holds_64_persons() {
    let keys: Vec<_> = (0..65).map(|_| LocalKey::generate().unwrap()).collect();
    let names: Vec<_> = (0..65).map(|at| format!("person-{at}")).collect();
    let of: Vec<_> = keys.iter().map(|key| [key]).collect();
    let entries: Vec<_> = names
        .iter()
        .zip(&of)
        .map(|(name, key)| entry(name, key))
        .collect();
    let read = |entries: &[Entry<'_>], quorum| {
        Custodians::parse(document(1, quorum, entries, "").as_bytes())
    };
    assert_eq!(read(&entries[..64], 63).unwrap().quorum().get(), 63);
    assert_eq!(
        read(&entries[..64], 64).unwrap_err().reason(),
        "TOO_FEW_CUSTODIANS"
    );
    assert_eq!(read(&entries, 2), Err(CustodiansError::TooMany));
}

//! A verifier with openssl who holds a root, and gets everything else from where certificates say that it is.

use std::{collections::BTreeSet, fs, path::Path};

use e2e::{failure::Failure, terminal::Terminal};
use semops_pki::certificate::Certificate;

use crate::crls::fetch;

/// What the verifier has got.
pub(crate) struct Verifier {
    terminal: Terminal,
    crls: usize,
}

impl Verifier {
    /// With all that is needed to verify these certificates, as it is published now.
    pub(crate) fn of(root: &Path, leaves: &[&Certificate]) -> Result<Self, Failure> {
        let terminal = Terminal::new()?;
        terminal.write("root.pem", fs::read(root)?)?;
        let (mut cas, mut crls) = (String::new(), BTreeSet::new());
        for leaf in leaves {
            let ca = Certificate::from_der(&fetch(one(leaf.ca_issuer_addresses()))?)?;
            cas.push_str(&ca.to_pem());
            crls.extend([one(leaf.crl_addresses()), one(ca.crl_addresses())].map(str::to_owned));
        }
        terminal.write("cas.pem", cas)?;
        for (number, address) in crls.iter().enumerate() {
            terminal.write(&format!("{number}.crl"), fetch(address)?)?;
        }
        let crls = crls.len();
        Ok(Self { terminal, crls })
    }

    /// How many CRLs it has.
    pub(crate) fn crls(&self) -> usize {
        self.crls
    }

    /// What openssl finds wrong with the path to this certificate, all its CRLs at hand.
    pub(crate) fn errors(&self, leaf: &Certificate) -> Result<Vec<String>, Failure> {
        self.terminal.write("leaf.pem", leaf.to_pem())?;
        let with = |number| format!("-CRLfile {number}.crl ");
        let crls: String = (0..self.crls).map(with).collect();
        let said = self.terminal.try_openssl(&format!(
            "verify -x509_strict -crl_check_all -CAfile root.pem -untrusted cas.pem {crls} leaf.pem"
        ))?;
        let lines = said.err.lines().filter(|line| line.contains(" depth "));
        let errors: Vec<_> = lines.map(str::to_owned).collect();
        assert_eq!(said.succeeded(), errors.is_empty(), "{said:?}");
        assert_eq!(said.succeeded(), said.out == "leaf.pem: OK\n", "{said:?}");
        Ok(errors)
    }
}

fn one(addresses: &[String]) -> &str {
    let [address] = addresses else {
        panic!("not one address: {addresses:?}")
    };
    address
}

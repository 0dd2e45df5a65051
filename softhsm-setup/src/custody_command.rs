//! Owns the command `custody`: what it is asked, and what it tells.

use std::path::PathBuf;

use clap::Args;
use semops_objects::institution::InstitutionId;
use serde::Serialize;
use softhsm_setup::directory::Directory;
use softhsm_setup::scheme::Register;
use softhsm_setup::take_custody;

use crate::interrupts::interrupts;
use crate::told::{Told, say, say_json};
use crate::{Failure, RecordArguments, edge, read};

/// What is asked.
#[derive(Args)]
pub(crate) struct CustodyArguments {
    /// The folder
    directory: PathBuf,
    /// Who is to rule: of each institution a table [[institution]] with id, custodians and quorum; of the scheme [scheme]
    #[arg(long, value_name = "FILE")]
    custodians: PathBuf,
    /// The program `signer`, which knows the documents in force; without it, the one beside this program
    #[arg(long, value_name = "PATH")]
    signer: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Begun {
    directory: PathBuf,
    scheme: Option<Ruled>,
    institutions: Vec<Ruled>,
}

#[derive(Serialize)]
struct Ruled {
    id: String,
    approval_keys: Vec<PathBuf>,
    ceremony: PathBuf,
}

impl Ruled {
    fn new(directory: &Directory, id: &InstitutionId, register: &Register) -> Self {
        let persons = register.custodians().iter();
        Self {
            id: id.to_string(),
            approval_keys: persons.map(|one| directory.approval_key(id, one)).collect(),
            ceremony: directory.ceremony(id),
        }
    }
}

/// Does it.
pub(crate) fn run(arguments: CustodyArguments) -> Result<(), Failure> {
    let text = read(&arguments.custodians)?;
    let record = RecordArguments::with(arguments.signer);
    let (edge, stop) = (edge(record)?, interrupts()?);
    let told = Told {
        json: arguments.json,
    };
    let mut progress = |step: &str| told.step(step, &stop);
    let custody = take_custody(&arguments.directory, &text, &edge, &mut progress)?;
    let directory = Directory::open(&arguments.directory)?;
    let scheme = InstitutionId::of_scheme();
    if told.json {
        let ruled =
            |(id, register): &(InstitutionId, Register)| Ruled::new(&directory, id, register);
        let institutions = custody.institutions().iter().map(ruled);
        say_json(&Begun {
            scheme: custody
                .scheme()
                .map(|one| Ruled::new(&directory, &scheme, one)),
            institutions: institutions.collect(),
            directory: directory.path().to_owned(),
        });
        return Ok(());
    }
    say(&format!(
        "\nNext, hand each key in {} to its person and keep none here, then start the signer; one that serves already takes the \
         scheme's ceremony at SIGHUP.",
        directory.custodians_folder().display()
    ));
    Ok(())
}

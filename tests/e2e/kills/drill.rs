//! One death after the other in one deployment: a point is armed, the load goes on until the process dies there, it is
//! started again, and all that it had answered is asked for again.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{
    cluster::Cluster,
    deployment::{Deployment, replica::Replica},
    failure::Failure,
    programs::{self, Watched},
    recheck::Checked,
    story::Callers,
    token,
    until::until,
};
use rustix::process::Signal;
use semops_objects::change::DocumentKind;
use semops_proto::v1;
use signer::fault::{Point, VARIABLE};
use softhsm_setup::scheme::{Role, Scheme};
use tempfile::TempDir;
use uuid::Uuid;

use crate::lives::{Load, callers};

const CLIENTS: usize = 4;
/// Lives until the clients are no more at the same step.
const SPREAD: usize = 2;
/// A revocation, the lease of one that died, and some.
const LONG_ENOUGH: Duration = Duration::from_secs(60);

/// What goes on while the deployment's own server dies.
#[derive(Default)]
struct Beside {
    // Before the cluster: fields are dropped in this order.
    replica: Option<Replica>,
    _cluster: Option<Cluster>,
}

/// A deployment under load that dies and comes back.
pub(super) struct Drill {
    deployment: Deployment,
    beside: Beside,
    folder: TempDir,
    /// Of the replica, if there is one: what one has answered the other answers too.
    callers: Callers,
    load: Load,
    /// How many lives of the ledger were asked for again after a death.
    seen: usize,
    /// The version of alfa's policy in force.
    version: u64,
    /// How many keys were asked for.
    creations: usize,
    deaths: usize,
}

impl Drill {
    /// A deployment with clients at work.
    pub(super) async fn begin() -> Result<Self, Failure> {
        let deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
        Self::of(deployment, Beside::default(), tempfile::tempdir()?).await
    }

    /// The same with its record in a cluster, and a second replica that goes on while the first dies.
    pub(super) async fn begin_with_replica() -> Result<Self, Failure> {
        let cluster = Cluster::start()?;
        let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
        deployment.keep_record_in(&cluster).await?;
        let folder = tempfile::tempdir()?;
        let replica = deployment.replica(|mut command| {
            command.env(VARIABLE, armed_beside(&folder));
            command
        });
        let replica = replica.await?;
        let beside = Beside {
            replica: Some(replica),
            _cluster: Some(cluster),
        };
        Self::of(deployment, beside, folder).await
    }

    async fn of(
        mut deployment: Deployment,
        beside: Beside,
        folder: TempDir,
    ) -> Result<Self, Failure> {
        start(&mut deployment, &armed(&folder)).await?;
        let mut drill = Self {
            callers: callers(&deployment, beside.replica.as_ref()).await?,
            deployment,
            beside,
            folder,
            load: Load::new(),
            seen: 0,
            version: 1,
            creations: 0,
            deaths: 0,
        };
        drill.load_policy()?;
        for number in 0..CLIENTS {
            let replica = drill.beside.replica.as_ref();
            let replica = replica.filter(|_| number % 2 == 1);
            drill.load.add(callers(&drill.deployment, replica).await?);
        }
        Ok(drill)
    }

    /// Dies when `point` has been reached that often.
    pub(super) async fn dies_at(&mut self, point: Point, times: usize) -> Result<(), Failure> {
        self.load.lives(SPREAD).await?;
        let dying = match point {
            // These are reached in the operator's process, beside the server.
            Point::LoadChecked | Point::LoadWritten | Point::LoadCommitted => {
                return self.operator_dies_at(point);
            }
            Point::CreateKeyAsked
            | Point::CreateKeyGenerated
            | Point::CreateKeyRecorded
            | Point::CreateKeyNamed
            | Point::CreateKeyBegun
            | Point::CreateKeySigned
            | Point::CreateKeyCompleted => return self.creation_dies_at(point).await,
            Point::DestroyBegun | Point::DestroyGone | Point::DestroyRecorded => {
                return self.discard_dies_at(point).await;
            }
            // Once for each document that comes into force.
            Point::SnapshotRead | Point::SnapshotTaken => self.arm(point, 1),
            _ => self.arm(point, times),
        };
        dying?;
        self.load_policy()?;
        let died = self.deployment.server()?.wait().await;
        died_by_kill(died.map_err(|failure| failure.in_step(point.name()))?)?;
        self.comes_back().await
    }

    /// Of two replicas the one that leads dies, whichever that is, when it reaches this point of the scheduled work, which
    /// the other never does.
    pub(super) async fn leader_dies_at(&mut self, point: Point) -> Result<(), Failure> {
        self.load.lives(SPREAD).await?;
        for file in [armed(&self.folder), armed_beside(&self.folder)] {
            self.arm_in(&file, point, 1)?;
        }
        let replica = self.beside.replica.take();
        let mut replica = replica.ok_or_else(|| Failure::new("it is alone"))?;
        let own = self.deployment.server()?;
        let (status, beside) = until(point.name(), LONG_ENOUGH, async || {
            let own = own.status()?.map(|status| (status, false));
            let beside = replica.process().status()?.map(|status| (status, true));
            Ok(own.or(beside))
        })
        .await?;
        died_by_kill(status)?;
        if !beside {
            self.beside.replica = Some(replica);
            return self.comes_back().await;
        }
        self.disarm()?;
        self.deaths += 1;
        let answered = self.load.rest();
        let mut command = replica.run_by(&programs::ours(Watched::No)?.signer);
        command.env(VARIABLE, armed_beside(&self.folder));
        replica.start_again(&mut self.deployment, command).await?;
        self.beside.replica = Some(replica);
        self.again(answered).await
    }

    /// Waits until the lead has passed that often from one process to another.
    pub(super) async fn terms(&self, often: usize) -> Result<(), Failure> {
        let sql =
            format!("SELECT count(*) FROM lease WHERE holder IS NOT NULL AND term >= {often}");
        until("another leader", LONG_ENOUGH, async || {
            Ok((self.deployment.count(&sql).await? == 1).then_some(()))
        })
        .await
    }

    /// Dies when so many lives more were lived: at no point in particular.
    pub(super) async fn dies_after(&mut self, lives: usize) -> Result<(), Failure> {
        self.load.lives(lives).await?;
        self.deployment.kill()?;
        self.comes_back().await
    }

    /// Ends the load, asks for everything again, and checks the whole record. Gives the number of deaths too.
    pub(super) async fn end(mut self) -> Result<(usize, Checked), Failure> {
        let checked = self
            .load
            .end(&self.callers, &mut self.deployment, (0, 0))
            .await?;
        Ok((self.deaths, checked))
    }

    /// An operator dies while a change is loaded. Loaded again, it is in force, and was already if it was committed.
    fn operator_dies_at(&mut self, point: Point) -> Result<(), Failure> {
        self.arm(point, 1)?;
        let change = self.change()?;
        let arguments = ["change", "load", &change.to_string_lossy()];
        let mut operator = self.deployment.signer()?;
        operator.env(VARIABLE, armed(&self.folder)).args(arguments);
        died_by_kill(operator.output()?.status)?;
        self.disarm()?;
        self.deaths += 1;
        let said = self.deployment.run(&arguments)?;
        let effect = if point == Point::LoadCommitted {
            "was effective already"
        } else {
            "is effective now"
        };
        assert!(said.contains(effect), "{}: {said}", point.name());
        Ok(())
    }

    /// It dies while a custodian has a key made. Asked again by the same request, there is that one key.
    async fn creation_dies_at(&mut self, point: Point) -> Result<(), Failure> {
        // Two keys of a purpose may wait.
        let institution = ["alfa", "beta", "mobilis"][self.creations / 2 % 3];
        let purpose = [v1::KeyPurpose::Authorization, v1::KeyPurpose::DeviceCa][self.creations % 2];
        self.creations += 1;
        let custodian = self.deployment.client(institution, Role::Custodian);
        let custodian = custodian.await?;
        let ask = v1::CreateKeyRequest {
            purpose: purpose.into(),
            request_id: Uuid::new_v4().to_string(),
            token: String::new(),
        };
        self.arm(point, 1)?;
        let unanswered = custodian.create_key(ask.clone()).await;
        assert!(unanswered.is_err(), "{}", point.name());
        died_by_kill(self.deployment.server()?.wait().await?)?;
        self.comes_back().await?;
        let made = custodian.create_key(ask.clone()).await?.key;
        assert_eq!(custodian.create_key(ask).await?.key, made);
        let made = made.ok_or_else(|| Failure::new("no key"))?;
        assert_eq!(made.state(), v1::KeyState::PreActivation);
        let id = URL_SAFE_NO_PAD.decode(&made.key_id)?;
        let with =
            |octets: &[u8]| token::public_objects_with(&self.deployment, institution, octets);
        assert_eq!((with(&id)?, with(b"made-for")?), (1, 0), "{}", point.name());
        let listed = custodian.list_keys(v1::ListKeysRequest {}).await?.keys;
        let held = token::private_keys(&self.deployment, institution)?;
        assert_eq!(held, listed.len(), "{}", point.name());
        Ok(())
    }

    /// It dies while a custodian has a key destroyed that nothing uses. Asked again, it is gone.
    async fn discard_dies_at(&mut self, point: Point) -> Result<(), Failure> {
        let custodian = self.deployment.client("mobilis", Role::Custodian).await?;
        let ask = v1::CreateKeyRequest {
            purpose: v1::KeyPurpose::SigningCa.into(),
            request_id: Uuid::new_v4().to_string(),
            token: String::new(),
        };
        let made = custodian.create_key(ask).await?.key;
        let key_id = made.ok_or_else(|| Failure::new("no key"))?.key_id;
        let discard = v1::DiscardKeyRequest {
            key_id: key_id.clone(),
        };
        self.arm(point, 1)?;
        let unanswered = custodian.discard_key(discard.clone()).await;
        assert!(unanswered.is_err(), "{}", point.name());
        died_by_kill(self.deployment.server()?.wait().await?)?;
        self.comes_back().await?;
        for _ in 0..2 {
            custodian.discard_key(discard.clone()).await?;
        }
        let id = URL_SAFE_NO_PAD.decode(&key_id)?;
        let left = token::public_objects_with(&self.deployment, "mobilis", &id)?;
        let listed = custodian.list_keys(v1::ListKeysRequest {}).await?.keys;
        let held = token::private_keys(&self.deployment, "mobilis")?;
        assert_eq!((left, held), (0, listed.len()), "{}", point.name());
        Ok(())
    }

    async fn comes_back(&mut self) -> Result<(), Failure> {
        self.disarm()?;
        self.deaths += 1;
        let answered = self.load.rest();
        start(&mut self.deployment, &armed(&self.folder)).await?;
        self.again(answered).await
    }

    /// Asks again for what is in the ledger, from where it was left to `end`.
    async fn again(&mut self, end: usize) -> Result<(), Failure> {
        let lives = self.load.lived(self.seen, end);
        for life in &lives {
            life.again(&self.callers).await?;
        }
        self.seen += lives.len();
        Ok(())
    }

    /// The next version of alfa's policy comes into force beside the server.
    fn load_policy(&mut self) -> Result<(), Failure> {
        let change = self.change()?;
        let arguments = ["change", "load", &change.to_string_lossy()];
        self.deployment.run(&arguments).map(drop)
    }

    /// The next version of alfa's policy, approved by two: with time for every retry, and another number of orders each time.
    fn change(&mut self) -> Result<PathBuf, Failure> {
        self.version += 1;
        let (kind, orders) = (DocumentKind::Policy, 50 + self.version);
        let edit = |text: String| {
            text.replace("acceptance_seconds = 60", "acceptance_seconds = 600")
                .replace("orders_per_day = 50", &format!("orders_per_day = {orders}"))
        };
        let text = self
            .deployment
            .next_version(kind, "alfa", self.version, edit)?;
        let motion = self.deployment.document_motion(kind, &text)?;
        let custodians = self.deployment.custodians("alfa")?;
        self.deployment.change_file(&motion, &custodians[1..])
    }

    fn arm(&self, point: Point, times: usize) -> Result<(), Failure> {
        self.arm_in(&armed(&self.folder), point, times)
    }

    fn arm_in(&self, file: &Path, point: Point, times: usize) -> Result<(), Failure> {
        // Whole at once: the process may read at any moment.
        let next = self.folder.path().join("next");
        fs::write(&next, format!("{} {times}", point.name()))?;
        Ok(fs::rename(next, file)?)
    }

    fn disarm(&self) -> Result<(), Failure> {
        for file in [armed(&self.folder), armed_beside(&self.folder)] {
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }
}

fn armed(folder: &TempDir) -> PathBuf {
    folder.path().join("armed")
}

fn armed_beside(folder: &TempDir) -> PathBuf {
    folder.path().join("armed-beside")
}

async fn start(deployment: &mut Deployment, armed: &PathBuf) -> Result<(), Failure> {
    let mut signer = deployment.signer()?;
    signer.env(VARIABLE, armed);
    deployment.start_with(signer).await
}

fn died_by_kill(status: ExitStatus) -> Result<(), Failure> {
    if status.signal() == Some(Signal::KILL.as_raw()) {
        return Ok(());
    }
    Err(Failure::new(format!("it ended otherwise: {status}")))
}

//! The table: programs, and where in a call each takes a secret.

/// A program, and the places of its secrets.
pub(in crate::redact) struct Row {
    /// In lower case. A line without any of these is skipped.
    pub(in crate::redact) literals: &'static [&'static str],
    /// The programs, by the last part of their paths. `*` is any program.
    pub(super) programs: &'static [&'static str],
    /// Words that must be among the arguments.
    pub(super) with: &'static [&'static str],
    pub(super) secrets: &'static [Place],
}

/// The place of a secret in a call.
pub(super) enum Place {
    /// After the flag: in the next word, or after `=`.
    Flag(&'static str),
    /// As `Flag`, or right after it, or after several letters of which it is the last: `-rP secret`.
    Short(&'static str),
    /// As `Short`, among the flags before the first other word, which begins another program's call.
    Leading(&'static str),
    /// Right after the flag, and never in the next word.
    Glued(&'static str),
    /// After the flag and the sign: `-u user:secret`.
    After(&'static str, char),
    /// After the flag and this prefix: `-pass pass:secret`.
    Begun(&'static str, &'static str),
    /// In the word after one with this ending.
    Behind(&'static str),
    /// In the second word after this one.
    Second(&'static str),
    /// In a word `name=secret` whose name has this ending, also within a list.
    Named(&'static str),
    /// After the sign in any word `name=secret`.
    AnyNamed,
    /// In this argument, counted from 1 without flags and `name=value`.
    Argument(usize),
    /// In the last argument.
    Last,
    /// On its standard input.
    Input,
}

use self::Place::{After, AnyNamed, Argument, Begun, Behind, Flag, Glued, Input, Last, Leading, Named, Second, Short};

const fn row(
    literals: &'static [&'static str],
    programs: &'static [&'static str],
    with: &'static [&'static str],
    secrets: &'static [Place],
) -> Row {
    Row { literals, programs, with, secrets }
}

pub(in crate::redact) const ROWS: &[Row] = &[
    // Databases
    row(
        &["mysql", "mariadb"],
        &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mysqlcheck",
            "mysqlshow",
            "mysqlpump",
            "mysqlsh",
            "mysqlbinlog",
            "mysqlslap",
            "mariadb",
            "mariadb-dump",
            "mariadb-admin",
            "mariadb-backup",
            "mycli",
        ],
        &[],
        &[Glued("-p"), Flag("--password")],
    ),
    row(&["mysqlsh"], &["mysqlsh"], &[], &[After("", ':')]),
    row(
        &["psql", "pg_"],
        &["psql", "pg_dump", "pg_dumpall", "pg_restore", "pg_basebackup", "pg_isready", "pgcli"],
        &[],
        &[Named("password")],
    ),
    row(&["mysqladmin", "mariadb-admin"], &["mysqladmin", "mariadb-admin"], &["password"], &[Behind("password")]),
    row(
        &["redis-cli", "valkey-cli"],
        &["redis-cli", "valkey-cli"],
        &[],
        &[Short("-a"), Flag("--pass"), Behind("requirepass"), Behind("masterauth")],
    ),
    row(
        &["redis-cli", "valkey-cli"],
        &["redis-cli", "valkey-cli"],
        &["AUTH", "auth"],
        &[Behind("auth"), Second("AUTH"), Second("auth")],
    ),
    row(
        &["requirepass", "masterauth"],
        &["redis-server", "valkey-server"],
        &[],
        &[Flag("--requirepass"), Flag("--masterauth")],
    ),
    row(&["cypher-shell"], &["cypher-shell"], &[], &[Short("-p")]),
    row(&["set-initial-password"], &["neo4j-admin"], &[], &[Behind("set-initial-password")]),
    row(
        &["kafka-configs", "kcat"],
        &["kafka-configs", "kafka-configs.sh", "kcat", "kafkacat"],
        &[],
        &[Named("password")],
    ),
    row(
        &["mongo"],
        &["mongo", "mongosh", "mongodump", "mongorestore", "mongoimport", "mongoexport", "mongostat", "mongotop"],
        &[],
        &[Short("-p"), Flag("--password")],
    ),
    row(&["cqlsh"], &["cqlsh"], &[], &[Short("-p"), Flag("--password")]),
    row(&["influx", "clickhouse"], &["influx", "clickhouse-client"], &[], &[Flag("-password"), Flag("--password")]),
    row(&["sqlcmd", "bcp "], &["sqlcmd", "bcp"], &[], &[Short("-P")]),
    row(&["sqlplus", "impdp", "expdp"], &["sqlplus", "impdp", "expdp"], &[], &[After("", '/')]),
    row(&["rabbitmq"], &["rabbitmqctl"], &["add_user"], &[Second("add_user")]),
    row(&["rabbitmq"], &["rabbitmqctl"], &["change_password"], &[Second("change_password")]),
    row(&["rabbitmqadmin"], &["rabbitmqadmin"], &[], &[Short("-p"), Flag("--password")]),
    row(&["etcdctl"], &["etcdctl"], &[], &[After("--user", ':'), Flag("--password")]),
    // Remote machines
    row(&["sshpass"], &["sshpass"], &[], &[Leading("-p")]),
    row(&["ssh-keygen"], &["ssh-keygen"], &[], &[Flag("-N"), Flag("-P")]),
    row(
        &["ldap"],
        &["ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldapmodrdn", "ldapcompare"],
        &[],
        &[Short("-w")],
    ),
    row(&["ldappasswd"], &["ldappasswd"], &[], &[Short("-w"), Short("-s"), Short("-a")]),
    row(
        &["smbclient", "rpcclient", "smbget", "smbtree", "smbcacls"],
        &["smbclient", "rpcclient", "smbget", "smbtree", "smbcacls"],
        &[],
        &[After("-U", '%'), After("--user", '%'), Flag("--password")],
    ),
    row(&["net rpc", "net ads"], &["net"], &[], &[After("-U", '%')]),
    row(&["net use", "net.exe use"], &["net"], &["use"], &[Behind("\\\\")]),
    row(&["net user", "net.exe user"], &["net"], &["user"], &[Argument(3)]),
    row(&["cmdkey"], &["cmdkey"], &[], &[Begun("", "/pass:")]),
    row(&["freerdp"], &["xfreerdp", "wlfreerdp", "xfreerdp3", "sdl-freerdp"], &[], &[Begun("", "/p:")]),
    row(&["rdesktop", "psexec", "evil-winrm"], &["rdesktop", "psexec", "evil-winrm"], &[], &[Flag("-p")]),
    row(&["mount ", "mount."], &["mount", "mount.cifs"], &[], &[Named("password"), Named("pass")]),
    row(
        &["ipmitool", "mosquitto"],
        &["ipmitool", "mosquitto_pub", "mosquitto_sub", "mosquitto_rr"],
        &[],
        &[Short("-P")],
    ),
    row(&["lftp", "ncftp"], &["lftp", "open"], &[], &[After("-u", ','), After("--user", ',')]),
    row(&["ncftp"], &["ncftp", "ncftpput", "ncftpget", "ncftpls"], &[], &[Flag("-p")]),
    row(
        &["snmp"],
        &["snmpget", "snmpgetnext", "snmpwalk", "snmpbulkwalk", "snmpset", "snmptable", "snmpstatus"],
        &[],
        &[Short("-A"), Short("-X"), Short("-c")],
    ),
    row(&["x11vnc"], &["x11vnc"], &[], &[Flag("-passwd")]),
    row(&["vncpasswd"], &["vncpasswd", "tigervncpasswd"], &[], &[Input]),
    row(
        &["crackmapexec", "netexec", "nxc ", "hydra ", "medusa "],
        &["crackmapexec", "netexec", "nxc", "hydra", "medusa"],
        &[],
        &[Flag("-p")],
    ),
    row(
        &["impacket", "exec.py", "secretsdump"],
        &[
            "impacket-secretsdump",
            "impacket-psexec",
            "impacket-wmiexec",
            "impacket-smbexec",
            "secretsdump.py",
            "psexec.py",
            "wmiexec.py",
            "smbexec.py",
        ],
        &[],
        &[After("", ':')],
    ),
    row(&["setairportnetwork"], &["networksetup"], &["-setairportnetwork"], &[Argument(3)]),
    row(&["nmcli"], &["nmcli"], &[], &[Behind("password"), Behind(".psk")]),
    row(&["wpa_passphrase"], &["wpa_passphrase"], &[], &[Argument(2)]),
    row(&["swaks"], &["swaks"], &[], &[Flag("-ap"), Flag("--auth-password")]),
    // The web
    row(
        &["curl"],
        &["curl"],
        &[],
        &[
            After("-u", ':'),
            After("--user", ':'),
            After("-U", ':'),
            After("--proxy-user", ':'),
            Flag("--pass"),
            Flag("--oauth2-bearer"),
            After("-b", '='),
            After("--cookie", '='),
        ],
    ),
    row(
        &["http ", "https ", "xh"],
        &["http", "https", "xh", "xhs"],
        &[],
        &[After("-a", ':'), After("--auth", ':'), Named("password"), Named("token"), Named("secret")],
    ),
    row(&["ab -", "sqlmap"], &["ab", "sqlmap"], &[], &[After("-A", ':'), After("--auth-cred", ':')]),
    row(&["jenkins"], &["java", "jenkins-cli"], &[], &[After("-auth", ':')]),
    // Keys and archives
    row(
        &["openssl"],
        &["openssl"],
        &[],
        &[
            Flag("-k"),
            Flag("-K"),
            Begun("-pass", "pass:"),
            Begun("-passin", "pass:"),
            Begun("-passout", "pass:"),
            Begun("-password", "pass:"),
            Flag("-psk"),
            Flag("-srppass"),
        ],
    ),
    row(&["openssl"], &["openssl"], &["passwd"], &[Argument(2)]),
    row(&["openssl"], &["openssl"], &["-salt"], &[Argument(3)]),
    row(&["openssl"], &["openssl"], &["stdin"], &[Input]),
    row(&["gpg"], &["gpg", "gpg2", "gpgv"], &[], &[Flag("--passphrase")]),
    row(&["--passphrase-fd"], &["gpg", "gpg2"], &["--passphrase-fd"], &[Input]),
    row(&["7z", "rar "], &["7z", "7za", "7zr", "7zz", "rar", "unrar"], &[], &[Glued("-p"), Glued("-hp")]),
    row(&["zip "], &["zip", "unzip", "zipcloak"], &[], &[Short("-P"), Flag("--password")]),
    row(
        &["keytool", "jarsigner", "apksigner"],
        &["keytool", "jarsigner"],
        &[],
        &[Flag("-storepass"), Flag("-keypass"), Flag("-srcstorepass"), Flag("-deststorepass"), Flag("-new")],
    ),
    row(&["apksigner"], &["apksigner"], &[], &[Begun("--ks-pass", "pass:"), Begun("--key-pass", "pass:")]),
    row(&["pdfto", "steghide"], &["pdftotext", "pdftoppm", "pdfinfo", "steghide"], &[], &[Flag("-upw"), Flag("-opw")]),
    row(&["steghide", "veracrypt"], &["steghide", "veracrypt"], &[], &[Flag("-p")]),
    row(&["cryptsetup"], &["cryptsetup"], &[], &[Input]),
    row(&["security add", "security import", "security set"], &["security"], &[], &[Short("-w"), Flag("-P")]),
    row(&["altool", "notarytool", "certutil"], &["altool", "notarytool", "certutil"], &[], &[Flag("-p")]),
    row(&["signtool"], &["signtool"], &[], &[Flag("/p")]),
    row(&["pk12util"], &["pk12util"], &[], &[Flag("-W"), Flag("-K")]),
    row(&["mkpasswd"], &["mkpasswd"], &[], &[Argument(1)]),
    row(&["hash-password"], &["caddy"], &[], &[Flag("--plaintext")]),
    row(&["borg init"], &["borg"], &["init"], &[Input]),
    row(&["zfs "], &["zfs"], &["load-key", "change-key", "create"], &[Input]),
    row(
        &["rclone"],
        &["rclone"],
        &["config"],
        &[
            Behind("secret_access_key"),
            Behind("pass"),
            Named("pass"),
            Named("secret_access_key"),
            Named("client_secret"),
            Named("token"),
        ],
    ),
    row(&["rclone"], &["rclone"], &["obscure"], &[Argument(2)]),
    // Keepers of passwords
    row(&["pass insert"], &["pass", "gopass"], &["insert"], &[Input]),
    row(&["keyring set"], &["keyring"], &["set"], &[Input]),
    row(&["secret-tool"], &["secret-tool"], &["store"], &[Input]),
    row(&["bw login"], &["bw"], &["login"], &[Argument(3)]),
    row(&["bw unlock"], &["bw"], &["unlock"], &[Argument(2)]),
    row(&["set-secret"], &["Set-Secret"], &[], &[Flag("-Secret")]),
    row(&["setx "], &["setx"], &[], &[Behind("key"), Behind("token"), Behind("password"), Behind("secret")]),
    row(&["security unlock"], &["security"], &["unlock-keychain"], &[Flag("-p")]),
    row(&["htpasswd", "mosquitto_passwd"], &["htpasswd", "mosquitto_passwd"], &["-b"], &[Last]),
    // Accounts of the system
    row(&["passwd"], &["chpasswd", "passwd", "smbpasswd", "chgpasswd"], &[], &[Input]),
    row(&["sudo -"], &["sudo"], &["-S"], &[Input]),
    row(&["kinit"], &["kinit"], &[], &[Input]),
    row(&["su ", "runas"], &["su", "runas"], &[], &[Input]),
    row(&["read -"], &["read"], &["-s"], &[Input]),
    row(&["useradd", "usermod"], &["useradd", "usermod"], &[], &[Short("-p"), Flag("--password")]),
    row(&["securestring"], &["ConvertTo-SecureString"], &[], &[Argument(1), Flag("-String")]),
    // Registries and clouds
    row(
        &[" login"],
        &["docker", "podman", "buildah", "nerdctl", "helm", "crane", "oras", "skopeo", "oc"],
        &["login"],
        &[Short("-p"), Flag("--password"), Input],
    ),
    row(
        &["skopeo", "--creds"],
        &["skopeo", "podman", "buildah"],
        &[],
        &[After("--creds", ':'), After("--src-creds", ':'), After("--dest-creds", ':')],
    ),
    row(
        &["-stdin", "--with-token"],
        &["*"],
        &["--password-stdin", "--token-stdin", "--with-token", "--pass-stdin", "--stdin"],
        &[Input],
    ),
    row(
        &[" secret "],
        &["docker", "podman", "gh", "wrangler", "kubectl"],
        &["secret"],
        &[Input, Short("-b"), Flag("--body"), After("--from-literal", '=')],
    ),
    row(&["az login"], &["az"], &["login"], &[Short("-p"), Flag("--password")]),
    row(&["keyvault secret"], &["az"], &["keyvault"], &[Flag("--value")]),
    row(&["az sql ", "az mysql ", "az postgres "], &["az"], &["sql", "mysql", "postgres"], &[Flag("-p")]),
    row(&["gcloud secrets"], &["gcloud"], &["secrets"], &[Input]),
    row(&[" secrets "], &["fly", "flyctl", "supabase", "doppler"], &["secrets"], &[AnyNamed, Input]),
    row(&["railway var"], &["railway"], &["set", "--set"], &[AnyNamed]),
    row(&["supabase "], &["supabase"], &[], &[Flag("-p")]),
    row(&["vercel "], &["vercel"], &["env"], &[Input]),
    row(&["vercel ", "codecov "], &["vercel", "codecov"], &[], &[Flag("-t")]),
    row(&["netlify "], &["netlify"], &[], &[Second("env:set"), Flag("--auth")]),
    row(&["snyk auth"], &["snyk"], &["auth"], &[Argument(2)]),
    row(&["wandb login"], &["wandb"], &["login"], &[Argument(2)]),
    row(&["ngrok "], &["ngrok"], &[], &[Behind("authtoken")]),
    row(&["mc alias"], &["mc"], &["alias"], &[Argument(6)]),
    row(&["mc config host"], &["mc"], &["host"], &[Argument(7)]),
    row(&["reset-admin-password"], &["grafana-cli", "grafana"], &[], &[Behind("reset-admin-password")]),
    row(&["drush "], &["drush"], &["user:password", "user-password", "upwd"], &[Argument(3)]),
    row(
        &["aws_secret", "aws_session"],
        &["aws"],
        &["configure"],
        &[Behind("aws_secret_access_key"), Behind("aws_session_token")],
    ),
    row(&["secretsmanager"], &["aws"], &["secretsmanager"], &[Flag("--secret-string")]),
    row(&["securestring"], &["aws"], &["ssm"], &[Flag("--value")]),
    row(
        &["vault"],
        &["vault", "bao"],
        &["login"],
        &[Argument(2), Named("password"), Named("token"), Named("secret_id")],
    ),
    row(&["vault", "bao kv"], &["vault", "bao"], &["kv"], &[AnyNamed]),
    row(
        &["vault", "bao write"],
        &["vault", "bao"],
        &["write"],
        &[Named("password"), Named("token"), Named("secret_id"), Named("secret_key")],
    ),
    row(&["vault", "bao operator"], &["vault", "bao"], &["unseal"], &[Behind("unseal")]),
    row(&["consul "], &["consul"], &[], &[Flag("-token")]),
    // Code
    row(&["extraheader"], &["git"], &[], &[Named("extraheader"), Behind("extraheader")]),
    row(
        &["_auth", "_password", "--otp"],
        &["npm", "yarn", "pnpm"],
        &[],
        &[
            Behind("_authtoken"),
            Behind("_password"),
            Behind("_auth"),
            Named("_authtoken"),
            Named("_password"),
            Named("_auth"),
            Flag("--otp"),
        ],
    ),
    row(&["npmauthtoken"], &["yarn"], &[], &[Behind("npmauthtoken")]),
    row(&["uv publish"], &["uv"], &["publish"], &[Flag("-t"), Flag("-p")]),
    row(&["nuget"], &["nuget"], &[], &[Flag("-k"), Flag("-p"), Flag("-ApiKey"), Flag("-Password")]),
    row(&["user-secrets"], &["dotnet"], &["user-secrets"], &[Second("set")]),
    row(&["dev-certs"], &["dotnet"], &["dev-certs"], &[Flag("-p")]),
    row(&["pypi-token"], &["poetry"], &["config"], &[Argument(3)]),
    row(
        &["github-oauth", "gitlab-oauth", "gitlab-token"],
        &["composer"],
        &["config"],
        &[Behind("oauth.github.com"), Behind("oauth.gitlab.com"), Behind("token.gitlab.com")],
    ),
    row(&["http-basic"], &["poetry", "composer"], &["config"], &[Argument(4)]),
    row(&["cargo login"], &["cargo"], &["login"], &[Argument(2)]),
    row(&["twine", "poetry publish"], &["twine", "poetry"], &[], &[Short("-p"), Flag("--password")]),
];

//! Secrets without a shape: arguments that a program takes as a secret by their place in the call. One table. Pure.
//!
//! A row is tried where one of its literals is in the text. The line around it is parsed as a shell would, and quoted parts are
//! parsed again, since commands stand in JSON and after `sh -c`. A reference such as `$PASSWORD` is not a secret and stays. So
//! does the rest of the call, so that the text says what was run.

use std::ops::Range;

use crate::shell::{self, Call, EXPANSION, Word};

/// The rule's name in the placeholder.
pub(super) const NAME: &str = "command-secret";

/// A program, and the places of its secrets.
pub(super) struct Row {
    /// In lower case. A line without any of these is skipped.
    pub(super) literals: &'static [&'static str],
    /// The programs, by the last part of their paths. `*` is any program.
    programs: &'static [&'static str],
    /// Words that must be among the arguments.
    with: &'static [&'static str],
    secrets: &'static [Place],
}

/// The place of a secret in a call.
enum Place {
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

use Place::{After, AnyNamed, Argument, Begun, Behind, Flag, Glued, Input, Last, Leading, Named, Second, Short};

const fn row(
    literals: &'static [&'static str],
    programs: &'static [&'static str],
    with: &'static [&'static str],
    secrets: &'static [Place],
) -> Row {
    Row { literals, programs, with, secrets }
}

pub(super) const ROWS: &[Row] = &[
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

/// How deep quotes within quotes are parsed.
const DEPTH_MAX: usize = 4;
/// How far the end of a here-document is searched for, in bytes.
const HERE_BYTES_MAX: usize = 16 << 10;
/// A text of up to this size, in bytes, is also parsed as a whole: quotes can span lines. Every text is parsed line by line,
/// since an apostrophe in one line does not open a quote for the next.
const WHOLE_BYTES_MAX: usize = 8 << 10;
/// The most calls of a group that are parsed.
const GROUP_MAX: usize = 16;
/// The most arguments of a program that are parsed.
const ARGS_MAX: usize = 128;
/// The programs that print their arguments.
const SPEAKERS: [&str; 5] = ["echo", "printf", "print", "Write-Output", "Write-Host"];

/// The secrets in the calls around `hits`, the places of rows' literals in `text`, in order.
pub(super) fn secrets(text: &str, hits: &[usize]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut done = 0;
    if !hits.is_empty() && text.len() <= WHOLE_BYTES_MAX && text.contains('\n') {
        look(text, 0..text.len(), 0, &mut found);
    }
    for hit in hits.iter().copied().filter(|hit| text.is_char_boundary(*hit)) {
        if hit >= done {
            let lines = lines_around(text, hit);
            done = lines.end;
            look(text, lines, 0, &mut found);
        }
    }
    found
}

/// The line of `hit`, with its continuation lines and here-documents.
fn lines_around(text: &str, hit: usize) -> Range<usize> {
    let goes_on = |before: &str| before.strip_suffix('\r').unwrap_or(before).ends_with('\\');
    let mut begin = hit;
    loop {
        begin = text[..begin].rfind('\n').map_or(0, |feed| feed + 1);
        if begin == 0 || !goes_on(&text[..begin - 1]) {
            break;
        }
        begin -= 1;
    }
    let mut end = hit;
    loop {
        end += text[end..].find('\n').unwrap_or(text.len() - end);
        if end == text.len() || !goes_on(&text[..end]) {
            break;
        }
        end += 1;
    }
    if text[begin..end].contains("<<") {
        end = text.floor_char_boundary(end.saturating_add(HERE_BYTES_MAX));
    }
    begin..end
}

/// Finds the secrets in the calls in `range` of `text`, and in its quoted parts.
fn look(text: &str, range: Range<usize>, depth: usize, found: &mut Vec<Range<usize>>) {
    let part = &text[range.clone()];
    let calls = shell::calls(part);
    for (number, call) in calls.iter().enumerate() {
        let ranges = in_call(part, call, before(part, &calls, number));
        found.extend(ranges.into_iter().map(|it| range.start + it.start..range.start + it.end));
        if depth < DEPTH_MAX {
            for inner in call.words.iter().flat_map(|word| &word.inner) {
                look(text, range.start + inner.start..range.start + inner.end, depth + 1, found);
            }
        }
    }
}

/// The calls whose output is the input of the call `number`: the one before it, or a group in brackets.
fn before<'c>(text: &str, calls: &'c [Call], number: usize) -> &'c [Call] {
    let Some(last) = number.checked_sub(1) else { return &[] };
    let ends_group = calls[last].words.iter().any(|word| word.text == "}");
    if calls[last].is_piped && !ends_group {
        return &calls[last..number];
    }
    let begin = calls[number].words.first().map_or(0, |word| word.range.start);
    let up_to = text[..begin].trim_end();
    let is_piped = calls[last].is_piped || up_to.ends_with('|') && !up_to.ends_with("||");
    if is_piped { &calls[number.saturating_sub(GROUP_MAX)..number] } else { &[] }
}

/// The secrets of `call` in `text`, and those that `before` pipes into it.
fn in_call(text: &str, call: &Call, before: &[Call]) -> Vec<Range<usize>> {
    let first = call.words.len() - call.program().len();
    let mut found = Vec::new();
    for (at, word) in call.words.iter().enumerate() {
        let name = name_of(&text[word.range.clone()]);
        let is_name = |program: &&str| program.eq_ignore_ascii_case(name);
        let rows = ROWS.iter().filter(|row| row.programs.iter().any(is_name) || at == first && row.programs == ["*"]);
        let args = &call.words[at + 1..call.words.len().min(at + 1 + ARGS_MAX)];
        for row in
            rows.filter(|row| row.with.is_empty() || args.iter().any(|arg| row.with.iter().any(|it| is(arg, it))))
        {
            for place in row.secrets {
                match place {
                    Input => found.extend(given(text, call, before)),
                    place => found.extend(in_args(text, args, place)),
                }
            }
        }
    }
    found
}

/// The last part of a program's path, even right after a line break of JSON.
fn name_of(raw: &str) -> &str {
    let raw = raw.rsplit(['/', '"', '\'', '(', '{']).next().unwrap_or(raw);
    let name = raw.rsplit("\\n").next().unwrap_or(raw);
    name.strip_suffix(".exe").unwrap_or(name)
}

/// Whether `arg` is `word`, or has its letter among several: `-nS`.
fn is(arg: &Word, word: &str) -> bool {
    let letter = word.strip_prefix('-').filter(|letter| letter.len() == 1);
    let letters = arg.text.strip_prefix('-').filter(|it| it.bytes().all(|byte| byte.is_ascii_alphabetic()));
    arg.text == word || letter.zip(letters).is_some_and(|(letter, letters)| letters.contains(letter))
}

/// Whether `arg` is several letters, the last of them that of `flag`: `-xw`.
fn is_last_of(arg: &Word, flag: &str) -> bool {
    flag.len() == 2 && arg.text.len() > 2 && arg.text.ends_with(&flag[1..]) && is(arg, flag)
}

fn in_args(text: &str, args: &[Word], place: &Place) -> Vec<Range<usize>> {
    let whole = |word: &Word| unquoted(text, word.range.clone());
    let raw = |word: &Word| &text[whole(word)];
    // The rest of `word` after `skip` bytes, or the next word if the rest is empty and the next may hold it.
    let value = |at: usize, flag: &str, glued: bool, next: bool| -> Option<Range<usize>> {
        let word = &args[at];
        let rest = word.text.strip_prefix(flag)?;
        let begin = || Some(whole(word).start + raw(word).find(flag)? + flag.len());
        match rest.strip_prefix('=') {
            _ if rest.is_empty() => {
                let next = args.get(at + 1).filter(|word| next && !word.text.starts_with('-'));
                next.map(whole)
            }
            Some(_) => Some(begin()? + 1..whole(word).end),
            None => (glued).then(|| Some(begin()?..whole(word).end)).flatten(),
        }
    };
    let behind_sign = |range: Range<usize>, sign: char| {
        let at = text[range.clone()].find(sign)?;
        Some(range.start + at + sign.len_utf8()..range.end)
    };
    let each = |take: &dyn Fn(usize) -> Option<Range<usize>>| (0..args.len()).filter_map(take).collect::<Vec<_>>();
    let found = match place {
        Flag(flag) => each(&|at| value(at, flag, false, true)),
        Short(flag) => each(&|at| {
            value(at, flag, true, true).or_else(|| args.get(at + 1).filter(|_| is_last_of(&args[at], flag)).map(whole))
        }),
        Leading(flag) => each(&|at| {
            let is_leading = args[..at].iter().all(|arg| arg.text.starts_with('-'));
            is_leading.then(|| value(at, flag, true, true)).flatten()
        }),
        Glued(flag) => each(&|at| value(at, flag, true, false)),
        After("", sign) => each(&|at| {
            let range =
                behind_sign(whole(&args[at]), *sign).filter(|_| !raw(&args[at]).starts_with(['-', '/', '@', '.']))?;
            let end = text[range.clone()].rfind('@');
            // `host:port` is not an account.
            (end.is_some() || *sign != ':').then(|| range.start..end.map_or(range.end, |end| range.start + end))
        }),
        After(flag, sign) => each(&|at| {
            let next = args.get(at + 1).filter(|_| is_last_of(&args[at], flag)).map(whole);
            [value(at, flag, true, true), next].into_iter().flatten().find_map(|range| behind_sign(range, *sign))
        }),
        Begun("", beginning) => each(&|at| {
            let begins = args[at].text.to_lowercase().starts_with(beginning);
            begins.then(|| behind_sign(whole(&args[at]), ':')).flatten()
        }),
        Begun(flag, beginning) => each(&|at| {
            let range = unquoted(text, value(at, flag, false, true)?);
            text[range.clone()].starts_with(beginning).then(|| range.start + beginning.len()..range.end)
        }),
        Second(name) => each(&|at| (at > 1 && args[at - 2].text == *name).then(|| whole(&args[at]))),
        // The first word after a share that is not an option.
        Behind("\\\\") => each(&|at| {
            let has_share = args[..at].iter().any(|arg| raw(arg).starts_with("\\\\"));
            (has_share && !raw(&args[at]).starts_with('/')).then(|| whole(&args[at]))
        }),
        Behind(end) => {
            each(&|at| (at > 0 && args[at - 1].text.to_lowercase().ends_with(end)).then(|| whole(&args[at])))
        }
        Named(name) => each(&|at| {
            let lower = raw(&args[at]).to_ascii_lowercase();
            let begin = lower.find(&format!("{name}="))? + name.len() + 1;
            let is_list = !lower.contains(['"', '\'']);
            let ends: &[char] = if *name == "extraheader" { &[] } else { &[',', ' '] };
            let end = lower[begin..].find(ends).filter(|_| is_list).map_or(lower.len(), |comma| begin + comma);
            Some(whole(&args[at]).start + begin..whole(&args[at]).start + end)
        }),
        AnyNamed => each(&|at| behind_sign(whole(&args[at]), '=').filter(|_| !args[at].text.starts_with('-'))),
        Argument(number) => {
            args.iter().filter(|arg| is_argument(&arg.text)).nth(number - 1).map(whole).into_iter().collect()
        }
        Last => args.last().map(whole).into_iter().collect(),
        Input => Vec::new(),
    };
    found.into_iter().map(|range| unquoted(text, range)).filter(|range| is_secret(text, range)).collect()
}

/// Whether `word` is neither a flag nor `name=value`. The `=` at the end of base64 does not count.
fn is_argument(word: &str) -> bool {
    let is_padding = word.trim_end_matches('=').find('=').is_none();
    !word.starts_with('-') && (is_padding || !shell::is_assignment(word))
}

/// The input of `call`: its here-documents, or the words that `before` prints.
fn given(text: &str, call: &Call, before: &[Call]) -> Vec<Range<usize>> {
    let mut found = call.inputs.clone();
    for before in before {
        let [program, args @ ..] = before.program() else { continue };
        let name = name_of(&text[program.range.clone()]);
        if SPEAKERS.contains(&name) {
            let is_text = |word: &&Word| !(word.text.starts_with('-') || name == "printf" && is_format(&word.text));
            found.extend(args.iter().filter(is_text).map(|word| word.range.clone()));
        } else if name == "cat" {
            found.extend(before.inputs.clone());
        }
    }
    let lines = found.into_iter().flat_map(|range| {
        let range = unquoted(text, range);
        let begin = range.start;
        let line = move |(at, line): (usize, &str)| (begin + at, line.trim_end_matches(['\n', '\r']).len());
        let feeds = text[range.clone()].split_inclusive('\n');
        feeds.scan(0, |at, line| Some((std::mem::replace(at, *at + line.len()), line))).map(line).collect::<Vec<_>>()
    });
    let lines = lines.map(|(begin, length)| begin..begin + length);
    lines.filter(|range| is_secret(text, range)).collect()
}

/// Whether `printf` prints nothing of its own for `format`.
fn is_format(format: &str) -> bool {
    format.replace("%s", "").replace("%b", "").replace("\\n", "").trim().is_empty()
}

/// `range` without the quotes around it, including a shell's quotes within JSON.
fn unquoted(text: &str, range: Range<usize>) -> Range<usize> {
    let raw = &text[range.clone()];
    for quote in ["\\\"", "\\'", "\"", "'"] {
        let inner = raw.strip_prefix(quote).and_then(|raw| raw.strip_suffix(quote));
        if inner.is_some() {
            return range.start + quote.len()..range.end - quote.len();
        }
    }
    range
}

/// Whether the text in `range` is a secret, and not a reference to one.
fn is_secret(text: &str, range: &Range<usize>) -> bool {
    let raw = text[range.clone()].trim();
    let is_quoted = text[..range.start].ends_with('\'');
    let is_reference = raw.starts_with(['$', '`']) && !is_quoted && !raw.starts_with("$'")
        || raw.starts_with('%') && raw.ends_with('%') && raw.len() > 1
        || raw.starts_with('<') && raw.ends_with('>')
        || raw.starts_with("{{")
        || raw.contains("[redacted:")
        || raw.contains(EXPANSION);
    let is_other =
        raw.is_empty() || raw == "-" || raw.chars().all(|c| matches!(c, '*' | '.' | '…' | '\\' | '"' | '\''));
    !is_reference && !is_other
}

#[cfg(test)]
mod tests {
    use crate::redact::Redactor;

    #[test]
    fn line_breaks_that_are_written_out_are_seen() {
        let redactor = Redactor::new::<&str, &str>([]).expect("there are no patterns to be wrong");
        let placeholder = "[redacted:command-secret]";
        for (text, kept) in [
            (r"printf 'hunter2horse\n' | docker login", r"printf 'X' | docker login"),
            (r"printf '%s\n%s\n' hunter2horse hunter2horse | passwd ada", r"printf '%s\n%s\n' X X | passwd ada"),
            (r#"{"command":"cd /x\nmysql -phunter2horse shop","n":1}"#, r#"{"command":"cd /x\nmysql -pX shop","n":1}"#),
            (
                r#"{"command": "bash -c \"sshpass -p hunter2horse ssh h\""}"#,
                r#"{"command": "bash -c \"sshpass -p X ssh h\""}"#,
            ),
        ] {
            assert_eq!(redactor.text(text), kept.replace('X', placeholder), "{text}");
        }
    }

    #[test]
    fn a_long_text_costs_little() {
        let redactor = Redactor::new::<&str, &str>([]).expect("there are no patterns to be wrong");
        for part in
            ["mysql -p$(", "docker login <<E\n", "curl \"", "'mysql ", "echo x | passwd \\\n", "mysql(", "openssl `"]
        {
            let _ = redactor.text(&part.repeat(5_000));
        }
    }
}

# Tell the owner of the account that its password expires. Never changes an account.
#
# A warning in the Application log, which monitoring sees, and a message on each desktop
# where the account is signed in. Services and scheduled tasks that sign in with it are
# listed, for they stop with it and nobody reads messages there. What was told is kept
# until the next restart in a volatile registry key, so that nobody is told twice a day.

$message_length_max = 250
# msg.exe takes a message away after so many seconds.
$shown_s = 86400
$listed_max = 20

function is_administrator {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal -ArgumentList $identity
    return $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
}

# What was told under a name since the machine started; '' when nothing was.
function told_before {
    param([string]$name)
    $machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    $key = $machine.OpenSubKey('SOFTWARE\remedy-notices')
    if ($null -eq $key) { return '' }
    return [string]$key.GetValue($name)
}

function keep_told {
    param([string]$name, [string]$text)
    $machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    $writable = [Microsoft.Win32.RegistryKeyPermissionCheck]::ReadWriteSubTree
    $volatile = [Microsoft.Win32.RegistryOptions]::Volatile
    $key = $machine.CreateSubKey('SOFTWARE\remedy-notices', $writable, $volatile)
    $key.SetValue($name, $text)
    $key.Dispose()
}

# Run a program of Windows; its exit code, -1 when this edition has no such program.
function run_program {
    param([string]$name, [string[]]$words)
    # What it says on standard error ends nothing; its exit code is looked at.
    $ErrorActionPreference = 'Continue'
    $program = [IO.Path]::Combine([Environment]::SystemDirectory, $name)
    if (-not [IO.File]::Exists($program)) { return -1 }
    $null = & $program @words
    return $LASTEXITCODE
}

function machine_name {
    return [Environment]::MachineName
}

function refuse {
    param([string]$why)
    [Console]::Error.WriteLine("$why; nobody was told")
    exit 1
}

# The sessions in which an account has a desktop.
function find_desktops {
    param([string]$sid)
    $found = @(Get-CimInstance -ClassName Win32_Process -Filter "Name='explorer.exe'")
    foreach ($each in $found) {
        try {
            $owner = Invoke-CimMethod -InputObject $each -MethodName GetOwnerSid
        } catch {
            # It has ended meanwhile.
            continue
        }
        if ([string]$owner.Sid -eq $sid) { [int]$each.SessionId }
    }
}

# What signs in with the account without a person: services and scheduled tasks.
function find_users {
    param([string]$account, [string]$sid)
    $names = @($account, ".\$account", "$(machine_name)\$account", $sid)
    foreach ($each in @(Get-CimInstance -ClassName Win32_Service)) {
        if ($names -contains [string]$each.StartName) { "the service $($each.Name)" }
    }
    if (Get-Command -Name Get-ScheduledTask -ErrorAction SilentlyContinue) {
        # Its module is of script files, which an execution policy of the domain may forbid.
        try {
            foreach ($each in @(Get-ScheduledTask)) {
                if ($names -contains [string]$each.Principal.UserId) { "the scheduled task $($each.TaskPath)$($each.TaskName)" }
            }
        } catch {
            'maybe scheduled tasks, which cannot be listed'
        }
    }
}

$account = [string]$Remedy.row.account
$days_left = [string]$Remedy.row.days_left
$is_own = [string]$Remedy.row.own -eq 'true'
if (-not (is_administrator)) { refuse 'this needs an administrator' }
if ($account -eq '' -or $account.Length -gt 64 -or $account -match '["/\\\[\]:;|=,+*?<>@\x00-\x1f]') {
    refuse "'$account' is no account name"
}
if ($days_left -notmatch '\A-?[0-9]{1,6}\z') { refuse "'$days_left' is no number of days" }
$sid = ''
foreach ($each in @(Get-CimInstance -ClassName Win32_UserAccount -Filter 'LocalAccount=TRUE')) {
    if ([string]$each.Name -eq $account) { $sid = [string]$each.SID }
}
if ($sid -eq '') { refuse "the account $account does not exist here" }

$today = [DateTime]::UtcNow.ToString('yyyy-MM-dd', [Globalization.CultureInfo]::InvariantCulture)
$days = [int]$days_left
if ([string]$Remedy.row.must_change -eq 'true') {
    $when = 'must be changed at the next sign-in'
} elseif ($days -lt 0) {
    $when = "expired $(-$days) day(s) ago"
} elseif ($days -eq 0) {
    $when = 'expires today'
} else {
    $when = "expires in $days day(s)"
}
$text = "${today}: the password of $account on $(machine_name) $when. If you have changed it since that day, this is no longer true."
if ($text.Length -gt $message_length_max) { $text = $text.Substring(0, $message_length_max) }

if ((told_before "password $account") -eq $text) {
    'this was told today already'
    exit 0
}

$long = $text
if ($is_own) { $long += ' remedy signs in with this account; once it is expired, nothing is watched or mended here.' }
$users = @(find_users $account $sid | Select-Object -First $listed_max)
foreach ($each in $users) {
    "signs in with it: $each"
    $long += " Signs in with it: $each."
}
# No quotes and backslashes: the text goes through a command line.
$long = $long -replace '\\', '/' -replace '["\x00-\x1f]', ' '

$is_told = $false
$code = run_program 'eventcreate.exe' @('/L', 'APPLICATION', '/SO', 'remedy', '/T', 'WARNING', '/ID', '101', '/D', $long)
if ($code -eq 0) {
    'wrote a warning to the Application log (source remedy, id 101)'
    $is_told = $true
} else {
    [Console]::Error.WriteLine("the Application log was not written: eventcreate.exe gave $code")
}
$desktops = @(find_desktops $sid | Sort-Object -Unique)
if ($desktops.Count -eq 0) { "$account is not signed in at a desktop" }
foreach ($session in $desktops) {
    $code = run_program 'msg.exe' @("$session", "/TIME:$shown_s", $text)
    if ($code -eq 0) {
        "told $account in session $session"
        $is_told = $true
    } else {
        "$account in session $session was not told: msg.exe gave $code"
    }
}
if (-not $is_told) {
    [Console]::Error.WriteLine('nobody was told')
    exit 1
}
keep_told "password $account" $text
exit 0

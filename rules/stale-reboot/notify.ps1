# Tell the users of this machine that a restart is due. Never restarts, never schedules one.
#
# A warning in the Application log, which monitoring sees, and a message on each desktop
# where somebody is signed in; nothing can be shown to those who sign in later. What was
# told is kept in a registry key that ends with the restart it asks for (a volatile one),
# so that nobody is told twice a day.

$message_length_max = 250
# msg.exe takes a message away after so many seconds.
$shown_s = 86400

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

# The sessions in which somebody has a desktop.
function find_desktops {
    $found = @(Get-CimInstance -ClassName Win32_Process -Filter "Name='explorer.exe'")
    $found | ForEach-Object { [int]$_.SessionId } | Sort-Object -Unique
}

if (-not (is_administrator)) {
    [Console]::Error.WriteLine('this needs an administrator; nobody was told')
    exit 1
}

if ([string]$Remedy.row.pending -eq 'true') {
    $reason = [string]$Remedy.row.reason
    if ($reason -eq '') { $reason = 'updates are waiting' }
} else {
    $reason = "it has not been restarted for more than $($Remedy.params.max_uptime_days) days"
}
# No quotes, backslashes and what is not ASCII: the text goes through command lines.
$reason = $reason -creplace '[^ -~]|["\\]', ''
$ask = 'Please save your work and choose Restart; to shut down and switch on again is not enough.'
$room = $message_length_max - $ask.Length - 40
if ($reason.Length -gt $room) { $reason = $reason.Substring(0, $room) }
$text = "This machine needs a restart: $reason. $ask"

$today = [DateTime]::UtcNow.ToString('yyyy-MM-dd', [Globalization.CultureInfo]::InvariantCulture)
if ((told_before 'restart') -eq "$today $text") {
    'this was told today already'
    exit 0
}

$is_told = $false
$code = run_program 'eventcreate.exe' @('/L', 'APPLICATION', '/SO', 'remedy', '/T', 'WARNING', '/ID', '100', '/D', $text)
if ($code -eq 0) {
    'wrote a warning to the Application log (source remedy, id 100)'
    $is_told = $true
} else {
    [Console]::Error.WriteLine("the Application log was not written: eventcreate.exe gave $code")
}
$desktops = @(find_desktops)
if ($desktops.Count -eq 0) { 'nobody is signed in at a desktop' }
foreach ($session in $desktops) {
    $code = run_program 'msg.exe' @("$session", "/TIME:$shown_s", $text)
    if ($code -eq 0) {
        "told the user of session $session"
        $is_told = $true
    } else {
        "the user of session $session was not told: msg.exe gave $code"
    }
}
if (-not $is_told) {
    [Console]::Error.WriteLine('nobody was told')
    exit 1
}
keep_told 'restart' "$today $text"
exit 0

# Whether a restart is pending, why, and for how long the machine is up. Changes nothing.
#
# One yes is enough: of the servicing of Windows, Windows Update, a new name or domain
# of the computer, Server Manager, Configuration Manager. Files that wait to be renamed
# are no reason, for antivirus programs leave such entries with every update of theirs.
# When servicing cannot be asked, or Configuration Manager is here and does not answer,
# and nobody else said yes, `pending` is left empty: nobody knows.
#
# With Fast Startup, shutting down and switching on does not end the uptime.

$reason_length_max = 300

# What a key of the machine's registry holds, by name; $null when there is no such key.
function read_key {
    param([string]$path)
    $machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    $key = $machine.OpenSubKey($path)
    if ($null -eq $key) { return $null }
    $values = @{}
    foreach ($name in $key.GetValueNames()) { $values[$name] = $key.GetValue($name) }
    return $values
}

$windows = 'SOFTWARE\Microsoft\Windows\CurrentVersion'
$control = 'SYSTEM\CurrentControlSet\Control'
$reasons = @()
$asked = @()
$silent = @()

if ($null -eq (read_key "$windows\Component Based Servicing")) {
    $silent += 'servicing'
} elseif ($null -ne (read_key "$windows\Component Based Servicing\RebootPending")) {
    $reasons += 'components or updates were installed'
} else {
    $asked += 'servicing'
}

if ($null -ne (read_key "$windows\WindowsUpdate\Auto Update")) {
    if ($null -ne (read_key "$windows\WindowsUpdate\Auto Update\RebootRequired")) {
        $reasons += 'Windows Update asks for it'
    } else {
        $asked += 'Windows Update'
    }
}

$active = read_key "$control\ComputerName\ActiveComputerName"
$next = read_key "$control\ComputerName\ComputerName"
if ($null -ne $active -and $null -ne $next -and $active['ComputerName'] -and $next['ComputerName']) {
    if ([string]$active['ComputerName'] -ne [string]$next['ComputerName']) {
        $reasons += 'the computer has a new name'
    } else {
        $asked += 'the name of the computer'
    }
}

$logon = read_key 'SYSTEM\CurrentControlSet\Services\Netlogon'
if ($null -ne $logon -and ($logon.ContainsKey('JoinDomain') -or $logon.ContainsKey('AvoidSpnSet'))) {
    $reasons += 'the computer joined a domain'
}

if ($null -ne (read_key 'SOFTWARE\Microsoft\ServerManager\CurrentRebootAttempts')) {
    $reasons += 'a role or feature was installed'
}

# From the registry, which everybody may read: to a plain account Windows may name no services, without an error.
if ($null -ne (read_key 'SYSTEM\CurrentControlSet\Services\CcmExec')) {
    $said = $null
    try {
        $said = Invoke-CimMethod -Namespace 'root\ccm\ClientSDK' -ClassName CCM_ClientUtilities -MethodName DetermineIfRebootPending
    } catch {
        [Console]::Error.WriteLine("Configuration Manager does not answer: $($_.Exception.Message)")
    }
    if ($null -eq $said -or $null -eq $said.RebootPending -or $said.ReturnValue -ne 0) {
        $silent += 'Configuration Manager'
    } elseif ($said.RebootPending -or $said.IsHardRebootPending) {
        $reasons += 'Configuration Manager asks for it'
    } else {
        $asked += 'Configuration Manager'
    }
}

if ($reasons.Count -gt 0) {
    $pending = $true
    $reason = $reasons -join '; '
} elseif ($silent.Count -gt 0) {
    $pending = $null
    $reason = 'nobody can say whether a restart is pending: no answer of ' + ($silent -join ', ')
} else {
    $pending = $false
    $reason = 'nothing pending, says: ' + ($asked -join ', ')
    $session = read_key "$control\Session Manager"
    if ($null -ne $session -and $session.ContainsKey('PendingFileRenameOperations')) {
        $reason += '; files wait to be renamed, which alone is no reason'
    }
}
$reason = $reason -creplace '[^ -~]', ''
if ($reason.Length -gt $reason_length_max) { $reason = $reason.Substring(0, $reason_length_max) }

$uptime_days = $null
$system = Get-CimInstance -ClassName Win32_OperatingSystem
if ($null -ne $system.LastBootUpTime -and $null -ne $system.LocalDateTime) {
    $up = $system.LocalDateTime.ToUniversalTime() - $system.LastBootUpTime.ToUniversalTime()
    if ($up.TotalSeconds -ge 0) { $uptime_days = [math]::Round($up.TotalDays, 3) }
}
emit pending $pending uptime_days $uptime_days reason $reason
exit 0

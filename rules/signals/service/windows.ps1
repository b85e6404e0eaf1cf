# Whether each named service of Windows runs: one row per service. Changes nothing.
#
# Only services in the parameter `names`, by the name of the service and not by the one
# that is shown: not every service that is stopped is trouble. One that is disabled or
# started by hand, or that an event starts on demand, is not meant to run now and has no
# row. `running` is left empty where nobody can say: the service does not exist, is paused,
# is starting or stopping, or stopped less than `grace_s` ago, as it does in an update.
#
# Since when a service is as it is, Windows keeps only in the event log, where it logs
# each change with the service's shown name; the text, in the system's language, is not read.

$reason_length_max = 300
$look_back_s = 3600
# Newest first; the text of each is made as it is read, which takes milliseconds.
$events_max = 1000

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

# The service's last change, in seconds from now, by its shown name, as far back as was looked.
# Events: 7036 says that a service entered a state, 7031 and 7034 that it fell over.
function read_changes {
    param([DateTime]$now, [int]$seconds)
    $changes = @{}
    $filter = @{
        LogName = 'System'
        ProviderName = 'Service Control Manager'
        Id = 7031, 7034, 7036
        StartTime = $now.AddSeconds(-$seconds).ToLocalTime()
    }
    try {
        $events = @(Get-WinEvent -FilterHashtable $filter -MaxEvents $events_max)
    } catch {
        # There being none is an error, told from others by its id, whatever the language.
        if ($_.FullyQualifiedErrorId -notlike 'NoMatchingEventsFound*') { throw }
        return $changes
    }
    foreach ($each in $events) {
        if (@($each.Properties).Count -eq 0 -or $null -eq $each.TimeCreated) { continue }
        $shown = [string]@($each.Properties)[0].Value
        $age_s = [math]::Max(0, [math]::Floor(($now - $each.TimeCreated.ToUniversalTime()).TotalSeconds))
        if (-not $changes.ContainsKey($shown) -or $age_s -lt $changes[$shown]) { $changes[$shown] = $age_s }
    }
    return $changes
}

$wanted = [string]$Remedy.params.names
if ($wanted -eq '') { not_applicable 'no services are named (parameter names of the signal service)' }
$grace_text = [string]$Remedy.params.grace_s
if ($grace_text -eq '') { $grace_text = '300' }
if ($grace_text -notmatch '\A[0-9]{1,6}\z') { throw 'grace_s must be a whole number of seconds' }
$grace_s = [int]$grace_text

$services = @{}
$users_of_process = @{}
foreach ($each in @(Get-CimInstance -ClassName Win32_Service)) {
    $services[[string]$each.Name] = $each
    $users_of_process[[string]$each.ProcessId] = 1 + [int]$users_of_process[[string]$each.ProcessId]
}
if ($services.Count -eq 0) { throw 'Windows names no service, so nobody can say whether the named ones run' }

$system = Get-CimInstance -ClassName Win32_OperatingSystem
if ($null -eq $system.LastBootUpTime -or $null -eq $system.LocalDateTime) { throw 'Windows does not say since when it runs' }
$up_s = ($system.LocalDateTime.ToUniversalTime() - $system.LastBootUpTime.ToUniversalTime()).TotalSeconds
$now = [DateTime]::UtcNow
$changes = read_changes $now ([math]::Max($look_back_s, $grace_s))

$rows = 0
$left_out = @()
$seen = @()
foreach ($name in ($wanted -split "`n")) {
    if ($seen -contains $name) { continue }
    $seen += $name
    $service = $services[$name]
    if ($null -eq $service) {
        emit service $name running $null enabled $null state 'not-found' result $null running_s $null restarts $null
        $rows += 1
        continue
    }
    $mode = [string]$service.StartMode
    if ($mode -eq 'Disabled') { $left_out += "$name is disabled"; continue }
    if ($mode -eq 'Manual') { $left_out += "$name is started by hand or on demand"; continue }
    $enabled = $null
    if ($mode -eq 'Auto') { $enabled = $true }

    $state = [string]$service.State
    $code = $service.ExitCode
    $changed_s = $changes[[string]$service.DisplayName]
    $running = $null
    $running_s = $null
    if ($state -eq 'Running') {
        $running = $true
        $running_s = $changed_s
        # The process of one service alone is as old as the service at most.
        if ($users_of_process[[string]$service.ProcessId] -eq 1 -and [int]$service.ProcessId -gt 0) {
            $process = Get-CimInstance -ClassName Win32_Process -Filter "ProcessId=$([int]$service.ProcessId)"
            if ($null -ne $process -and $null -ne $process.CreationDate) {
                $age_s = [math]::Max(0, [math]::Floor(($now - $process.CreationDate.ToUniversalTime()).TotalSeconds))
                if ($null -eq $running_s -or $age_s -lt $running_s) { $running_s = $age_s }
            }
        }
    } elseif ($state -eq 'Stopped') {
        # 1077: nobody has started it since the machine started.
        if ($code -eq 0 -or $code -eq 1077) {
            if ($null -ne (read_key "SYSTEM\CurrentControlSet\Services\$name\TriggerInfo")) {
                $left_out += "$name is started on demand"
                continue
            }
        }
        $running = $false
        if ($up_s -lt $grace_s -or ($null -ne $changed_s -and $changed_s -lt $grace_s)) {
            $running = $null
            $state = "$state, since less than $grace_s s"
        }
    }
    $result = $null
    if ($code -eq 0) { $result = 'success' } elseif ($null -ne $code) { $result = "exit code $code" }
    emit service $name running $running enabled $enabled state $state result $result running_s $running_s restarts $null
    $rows += 1
}
if ($rows -eq 0) {
    $reason = 'none of the named services is meant to run now: ' + ($left_out -join '; ')
    if ($reason.Length -gt $reason_length_max) { $reason = $reason.Substring(0, $reason_length_max) }
    not_applicable $reason
}
exit 0

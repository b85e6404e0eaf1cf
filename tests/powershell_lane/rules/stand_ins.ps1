# A machine made of tables, before each script of a case: the commands of Windows that
# scripts ask or change it with are functions here, so nothing reaches the real machine.
# What a script asks for and no case has planted is an error, as it is where it is missing.
#
# A function goes before a cmdlet of its name, and an alias before a function: so an
# alias stands in for a function that the script defines itself, further below.
# $env:SCRATCH is a folder of the case; what was done is written to the file `done` in it.

$global:cim = @{}           # by class, or by class and filter with a blank between: a list, or a script block
$global:methods = @{}       # by method: a script block that gets the instance
$global:events = @()        # of the system's log: objects with Id, TimeCreated, Properties
$global:registry = @{}      # by path below HKEY_LOCAL_MACHINE: the key's values by name
$global:users = @()
$global:tasks = @()
$global:services = @{}      # by name: its status
$global:stores = @{}        # by name: certificates
$global:bound = @()         # thumbprints
$global:time_answer = @()   # lines of w32tm
$global:told = @{}          # by name: what was told
$global:programs = @{}      # by name: its exit code, -1 when it is missing
$global:administrator = $true
$global:own = 'S-1-5-21-1-2-3-1000'
$global:strangers = @()     # ends of paths that do not belong to the system
$global:writable = @()      # ends of paths of folders that others than the system may write to
$global:restart_pending = $false
$global:windows_drive = 'C:'

function global:note {
    param([string]$text)
    [IO.File]::AppendAllText([IO.Path]::Combine($env:SCRATCH, 'done'), "$text`n")
}

function global:Get-CimInstance {
    param([string]$ClassName, [string]$Filter, [string]$Namespace)
    $found = $global:cim["$ClassName $Filter"]
    if ($null -eq $found) { $found = $global:cim[$ClassName] }
    if ($null -eq $found) { throw "not planted: $ClassName $Filter" }
    if ($found -is [scriptblock]) { $found = & $found }
    foreach ($each in @($found)) { if ($null -ne $each) { $each } }
}

function global:Invoke-CimMethod {
    param($InputObject, [string]$Namespace, [string]$ClassName, [string]$MethodName)
    if ($null -eq $global:methods[$MethodName]) { throw "not planted: $MethodName" }
    & $global:methods[$MethodName] $InputObject
}

function global:Get-WinEvent {
    param($FilterHashtable, [int]$MaxEvents)
    if ($global:events -is [string]) { throw $global:events }
    $since = $FilterHashtable.StartTime.ToUniversalTime()
    $found = @($global:events | Where-Object { $_.TimeCreated.ToUniversalTime() -ge $since })
    if ($null -ne $FilterHashtable.Id) { $found = @($found | Where-Object { $FilterHashtable.Id -contains $_.Id }) }
    if ($found.Count -eq 0) { Write-Error -Message 'Es wurden keine Ereignisse gefunden' -ErrorId 'NoMatchingEventsFound' -ErrorAction Stop }
    $found
}

function global:Get-LocalUser { $global:users }

function global:Get-ScheduledTask { $global:tasks }

function global:Get-Service {
    param([string]$Name)
    if ($null -eq $global:services[$Name]) { throw "not planted: the service $Name" }
    return [pscustomobject]@{ Name = $Name; Status = $global:services[$Name] }
}

function global:Stop-Service {
    param([string]$Name, [switch]$NoWait)
    note "stop $Name"
    $global:services[$Name] = 'Stopped'
}

function global:Start-Service {
    param([string]$Name)
    note "start $Name"
    $global:services[$Name] = 'Running'
}

function global:Start-Sleep { }

function global:Get-Acl { throw 'not stood in for: Get-Acl' }

function global:Delete-DeliveryOptimizationCache {
    param([switch]$Force)
    note 'delete the delivery cache'
}

# An event of the service manager, so many seconds ago.
function global:an_event {
    param([int]$id, [int]$ago_s, [string[]]$values)
    $properties = @($values | ForEach-Object { [pscustomobject]@{ Value = $_ } })
    return [pscustomobject]@{ Id = $id; TimeCreated = [DateTime]::Now.AddSeconds(-$ago_s); Properties = $properties }
}

# A system that has been up for so many days.
function global:up_for {
    param([double]$days)
    $now = [DateTime]::new(2026, 11, 22, 3, 0, 0, [DateTimeKind]::Utc)
    $global:cim['Win32_OperatingSystem'] = @([pscustomobject]@{ LastBootUpTime = $now.AddDays(-$days); LocalDateTime = $now })
}

# Where I and i are two letters: comparisons that look away from case take no capital I for i.
function global:speak_turkish {
    foreach ($each in [Globalization.CultureInfo]::GetCultures('SpecificCultures')) {
        if ($each.Name -eq 'tr-TR') { [Threading.Thread]::CurrentThread.CurrentCulture = $each }
    }
}

function global:stand_in_is_administrator { return $global:administrator }
function global:stand_in_own_sid { return $global:own }
function global:stand_in_machine_name { return 'PC1' }
function global:stand_in_read_key {
    param([string]$path)
    return $global:registry[$path]
}
function global:stand_in_ask_w32tm { $global:time_answer }
function global:stand_in_read_bound { $global:bound }
function global:stand_in_read_store {
    param([string]$name)
    if (-not $global:stores.ContainsKey($name)) { throw "there is no store $name" }
    $global:stores[$name]
}
function global:stand_in_told_before {
    param([string]$name)
    return [string]$global:told[$name]
}
function global:stand_in_keep_told {
    param([string]$name, [string]$text)
    note "told $name"
}
function global:stand_in_run_program {
    param([string]$name, [string[]]$words)
    $code = $global:programs[$name]
    if ($null -eq $code) { $code = 0 }
    if ($code -ne -1) { note ("$name " + ($words -join ' ')) }
    return $code
}
function global:stand_in_special_folder {
    param([string]$name)
    return [IO.Path]::Combine($env:SCRATCH, $name)
}
function global:stand_in_drive_of {
    param([string]$path)
    return $global:windows_drive
}
function global:stand_in_top_of {
    param([string]$drive)
    return $env:SCRATCH
}
function global:stand_in_last_used {
    param([string]$path)
    return [IO.File]::GetLastWriteTimeUtc($path)
}
function global:stand_in_owner_of {
    param([string]$path)
    foreach ($end in $global:strangers) { if ($path.EndsWith($end)) { return 'S-1-5-21-1-2-3-1001' } }
    return 'S-1-5-18'
}
function global:stand_in_others_may_write {
    param([string]$folder)
    foreach ($end in $global:writable) { if ($folder.EndsWith($end)) { return $true } }
    return $false
}
function global:stand_in_is_restart_pending { return $global:restart_pending }

Set-Alias -Scope Global -Name is_administrator -Value stand_in_is_administrator
Set-Alias -Scope Global -Name own_sid -Value stand_in_own_sid
Set-Alias -Scope Global -Name machine_name -Value stand_in_machine_name
Set-Alias -Scope Global -Name read_key -Value stand_in_read_key
Set-Alias -Scope Global -Name ask_w32tm -Value stand_in_ask_w32tm
Set-Alias -Scope Global -Name read_bound -Value stand_in_read_bound
Set-Alias -Scope Global -Name read_store -Value stand_in_read_store
Set-Alias -Scope Global -Name told_before -Value stand_in_told_before
Set-Alias -Scope Global -Name keep_told -Value stand_in_keep_told
Set-Alias -Scope Global -Name run_program -Value stand_in_run_program
Set-Alias -Scope Global -Name special_folder -Value stand_in_special_folder
Set-Alias -Scope Global -Name drive_of -Value stand_in_drive_of
Set-Alias -Scope Global -Name top_of -Value stand_in_top_of
Set-Alias -Scope Global -Name last_used -Value stand_in_last_used
Set-Alias -Scope Global -Name owner_of -Value stand_in_owner_of
Set-Alias -Scope Global -Name others_may_write -Value stand_in_others_may_write
Set-Alias -Scope Global -Name is_restart_pending -Value stand_in_is_restart_pending

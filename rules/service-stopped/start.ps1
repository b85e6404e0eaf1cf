# Start the service of the row again, once. Never changes, restarts or kills anything.
#
# Says first how it ended and what was logged of it. Refused when it is not started by
# itself any more, and when its account cannot sign in: another try would only help to
# lock the account. Whether it stays up is for the reading afterwards to say.

$start_s_max = 180
$log_lines_max = 20
$log_h = 24

function is_administrator {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal -ArgumentList $identity
    return $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
}

function refuse {
    param([string]$why)
    [Console]::Error.WriteLine("$why; nothing was changed")
    exit 1
}

# The service as it is now.
function look {
    $found = @(Get-CimInstance -ClassName Win32_Service -Filter "Name='$name'")
    if ($found.Count -ne 1) { return $null }
    return $found[0]
}

function described {
    param($service)
    return "State=$($service.State), StartMode=$($service.StartMode), ExitCode=$($service.ExitCode), ServiceSpecificExitCode=$($service.ServiceSpecificExitCode)"
}

# Print what the service manager logged of the service since a time, newest first.
function show_log {
    param($service, [DateTime]$since)
    $filter = @{ LogName = 'System'; ProviderName = 'Service Control Manager'; StartTime = $since.ToLocalTime() }
    try {
        $events = @(Get-WinEvent -FilterHashtable $filter -MaxEvents 1000)
    } catch {
        if ($_.FullyQualifiedErrorId -like 'NoMatchingEventsFound*') { return }
        "the event log cannot be read: $($_.Exception.Message)"
        return
    }
    $shown = 0
    foreach ($each in $events) {
        $values = @($each.Properties | ForEach-Object { [string]$_.Value })
        if ($values -notcontains [string]$service.DisplayName -and $values -notcontains [string]$service.Name) { continue }
        $at = $each.TimeCreated.ToUniversalTime().ToString('yyyy-MM-ddTHH:mm:ssZ', [Globalization.CultureInfo]::InvariantCulture)
        "  $at event $($each.Id): $($values -join ', ')"
        $shown += 1
        if ($shown -ge $log_lines_max) { return }
    }
}

$name = [string]$Remedy.row.service
if ($name -eq '' -or $name.Length -gt 256 -or $name -match '[''"/\\\x00-\x1f]') { refuse "'$name' is no name of a service" }
if (-not (is_administrator)) { refuse 'this needs an administrator' }
$service = look
if ($null -eq $service) { refuse "there is no service $name" }
if ([string]$service.StartMode -ne 'Auto') { refuse "$name is not started by itself any more: $($service.StartMode)" }
if ([string]$service.State -ne 'Stopped') {
    "$name is $($service.State); there was nothing to do"
    exit 0
}
if ($service.ExitCode -eq 1069) { refuse "$name cannot be started: its account, $($service.StartName), cannot sign in" }

"before: $(described $service)"
"what was logged of $name in the last $log_h hours:"
show_log $service ([DateTime]::UtcNow.AddHours(-$log_h))

$began = [DateTime]::UtcNow
$clock = [Diagnostics.Stopwatch]::StartNew()
$said = Invoke-CimMethod -InputObject $service -MethodName StartService
$code = $said.ReturnValue
$service = look
while ($code -eq 0 -and $null -ne $service -and [string]$service.State -eq 'Start Pending') {
    if ($clock.Elapsed.TotalSeconds -gt $start_s_max) { break }
    Start-Sleep -Seconds 1
    $service = look
}
if ($null -eq $service) {
    [Console]::Error.WriteLine("started $name; Windows cannot say what became of it")
    exit 1
}
"after: $(described $service)"
# 10: it runs already.
if (($code -eq 0 -or $code -eq 10) -and [string]$service.State -eq 'Running') {
    "started $name"
    exit 0
}
if ([string]$service.State -eq 'Start Pending') {
    [Console]::Error.WriteLine("the start of $name has not ended in $start_s_max s; Windows goes on with it")
} else {
    [Console]::Error.WriteLine("the start of $name gave $code, and it is $($service.State)")
}
"what was logged of $name since:"
show_log $service $began
exit 1

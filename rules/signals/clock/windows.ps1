# Whether something keeps this machine's clock right, and how far off it is. Changes nothing.
#
# Asked is the Windows Time service. What w32tm prints is in the system's language, but
# its lines keep their order, and of them only the numbers are read, each in its place;
# of an output of any other shape nothing is read. `offset_s` is the offset that was left
# when the clock was last compared; which way, w32tm does not say, so it has no sign.
# In the first minutes after a start nobody is expected to be synchronised, so
# `synchronised` is left empty. Where the service is disabled, another program may keep
# the clock, and nobody can be asked.
#
# Source: outputs of w32tm /query /status /verbose in English, German, French, Japanese
# and Chinese that others have published; 16 lines, without the empty one.

$start_s = 900

# The lines of w32tm's answer without empty ones.
function ask_w32tm {
    # What it says on standard error ends nothing, its exit code does.
    $ErrorActionPreference = 'Continue'
    $program = [IO.Path]::Combine([Environment]::SystemDirectory, 'w32tm.exe')
    $lines = @(& $program /query /status /verbose)
    if ($LASTEXITCODE -ne 0) { throw "w32tm gave $LASTEXITCODE, so nobody can say whether the clock is right" }
    foreach ($line in $lines) {
        if (([string]$line).Trim() -ne '') { ([string]$line).Trim() }
    }
}

$service = Get-CimInstance -ClassName Win32_Service -Filter "Name='W32Time'"
if ($null -eq $service) { throw 'Windows names no Windows Time service to this login, so nobody can say whether the clock is right' }
$mode = [string]$service.StartMode
$state = [string]$service.State
if ($mode -eq 'Disabled') { throw 'the Windows Time service is disabled, so nobody can say who keeps the clock' }

$source = 'Windows Time'
$synchronised = $null
$offset_s = $null
$since_sync_h = $null
if ($state -eq 'Stopped') {
    # Where it is started by hand or on demand, it may run again at its hour.
    if ($mode -eq 'Auto') { $synchronised = $false }
} elseif ($state -eq 'Running') {
    $shape = @{
        0 = ':\s*(?<value>[0-3])\('
        1 = ':\s*(?<value>[0-9]{1,3}) \('
        5 = ':\s*0x(?<value>[0-9A-Fa-f]{8})\b'
        7 = '\A[^:]*:\s*(?<value>\S.*)\z'
        8 = ':\s*[0-9]{1,2} \((?<value>[0-9]+)s\)\z'
        9 = ':\s*(?<value>[-+]?[0-9]+\.[0-9]+)s\z'
        15 = ':\s*(?<value>[0-9]+\.[0-9]+)s\z'
    }
    $lines = @(ask_w32tm)
    $found = @{}
    if ($lines.Count -eq 16) {
        foreach ($at in $shape.Keys) {
            $match = [regex]::Match($lines[$at], $shape[$at])
            if ($match.Success) { $found[$at] = $match.Groups['value'].Value }
        }
    }
    if ($found.Count -ne $shape.Count) {
        throw 'w32tm does not answer in its usual shape, so nobody can say whether the clock is right'
    }
    $stratum = [int]$found[1]
    # A leap indicator of 3, no stratum, and LOCL (the clock itself, for want of a server).
    if ($found[0] -eq '3' -or $stratum -lt 1 -or $stratum -gt 15 -or $found[5] -eq '4C4F434C') {
        $synchronised = $false
    } else {
        $synchronised = $true
        $source = $found[7]
        $offset_s = [math]::Abs([double]$found[9])
        $since_sync_h = [math]::Round([double]$found[15] / 3600, 3)
    }
}

if ($synchronised -eq $false) {
    $system = Get-CimInstance -ClassName Win32_OperatingSystem
    if ($null -eq $system.LastBootUpTime -or $null -eq $system.LocalDateTime) { throw 'Windows does not say since when it runs' }
    $up_s = ($system.LocalDateTime.ToUniversalTime() - $system.LastBootUpTime.ToUniversalTime()).TotalSeconds
    if ($up_s -lt $start_s) { $synchronised = $null }
}
emit source $source synchronised $synchronised offset_s $offset_s since_sync_h $since_sync_h
exit 0

# Free space of each local drive: one row per drive letter. Changes nothing.
#
# Without the parameter `mounts`: every fixed drive, so shares, discs and sticks are
# left out. With it: exactly those, such as C:. One that is no fixed drive here ends
# with an error: a drive somebody asked for is never silently absent.
# A drive whose size cannot be read (locked, not formatted) has a row without numbers.
# A volume that is mounted in a folder has no letter, and no row.

$gib = 1073741824

$drives = @{}
foreach ($each in @(Get-CimInstance -ClassName Win32_LogicalDisk -Filter 'DriveType=3')) {
    $drives[[string]$each.DeviceID] = $each
}
if ($drives.Count -eq 0) { throw 'Windows names no fixed drive, so nobody can say how full it is' }

$names = @($drives.Keys | Sort-Object)
$wanted = [string]$Remedy.params.mounts
if ($wanted -ne '') {
    $names = @()
    foreach ($line in ($wanted -split "`n")) {
        $name = ($line -replace '[\\/]+$', '').ToUpperInvariant()
        if (-not $drives.ContainsKey($name)) { throw "'$line' is no fixed drive here" }
        if ($names -notcontains $name) { $names += $name }
    }
}

foreach ($name in $names) {
    $size = $drives[$name].Size
    $free = $drives[$name].FreeSpace
    $size_gib = $null
    $free_gib = $null
    $free_percent = $null
    if ($null -ne $size -and $null -ne $free -and [double]$size -gt 0) {
        $size_gib = [math]::Round([double]$size / $gib, 3)
        $free_gib = [math]::Round([double]$free / $gib, 3)
        $free_percent = [math]::Round(100 * [double]$free / [double]$size, 2)
    }
    emit mount $name size_gib $size_gib free_gib $free_gib free_percent $free_percent
}
exit 0

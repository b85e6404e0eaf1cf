# Free space on the system drive, from safe places only; of other drives, say what is large.
#
# Removed, where it is older than min_age_days:
#   crash dumps         small ones and those of the kernel; the last full one stays
#   update downloads    with Windows Update and BITS stopped, and started again afterwards
#   temporary files     in the Temp folder of Windows, not in the folders within
# and the Delivery Optimization cache, whole: Windows fetches it again when it needs it.
#
# Only files are removed, never folders; none that is written, read or made within
# min_age_days, or that a process has open, and only such as belong to SYSTEM or the
# administrators. No link is followed (reparse points).
#
# Whoever may add files to an empty folder may make a link of it, whoever owns it, while
# the script is at work; what is then removed is elsewhere. So no folder is gone into
# that others than the system may write to. They may write to Temp, and what is in it
# hands their right down: so its folders stay, and Temp itself is held by a file that
# nobody else can remove. Error reports lie in such folders, too, and stay.
#
# Never touched: restore points, profiles and what is in them, Windows.old, recycle
# bins, and the component store, whose cleaning takes long and may need a restart.
#
# When that is not enough it ends with what a person needs: the largest folders.
# Whether the fix worked, the next reading says.

$clean_s_max = 240
$show_s_max = 30
$stop_s_max = 60
$shown_max = 10
$looks = 16
$clock = [Diagnostics.Stopwatch]::StartNew()
# SYSTEM, Administrators; of folders also TrustedInstaller, whose files are those of Windows itself.
$file_owners = @('S-1-5-18', 'S-1-5-32-544')
$owners = $file_owners + 'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464'

function is_administrator {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal -ArgumentList $identity
    return $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
}

# Where Windows keeps things, such as Windows itself.
function special_folder {
    param([string]$name)
    return [Environment]::GetFolderPath($name)
}

function drive_of {
    param([string]$path)
    return [IO.Path]::GetPathRoot($path) -replace '\\$', ''
}

function top_of {
    param([string]$drive)
    return $drive + '\'
}

function owner_of {
    param([string]$path)
    return (Get-Acl -LiteralPath $path).GetOwner([Security.Principal.SecurityIdentifier]).Value
}

# Whether anybody but the owners above may write to a folder or change it: he could make
# a link of it while we are at work.
function others_may_write {
    param([string]$folder)
    $rules = (Get-Acl -LiteralPath $folder).GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])
    foreach ($rule in $rules) {
        if ($owners -contains [string]$rule.IdentityReference.Value) { continue }
        if ([string]$rule.AccessControlType -ne 'Allow') { continue }
        # 2: it holds only for what is made in the folder.
        if (([int]$rule.PropagationFlags -band 2) -ne 0) { continue }
        # Write, append, attributes, remove what is in it, remove, change rights or owner; generic write and all.
        if (([int]$rule.FileSystemRights -band 0x500D0156) -ne 0) { return $true }
    }
    return $false
}

function refuse {
    param([string]$why)
    [Console]::Error.WriteLine("$why; nothing was removed")
    exit 1
}

function mib {
    param([double]$bytes)
    return ($bytes / 1048576).ToString('f1', [Globalization.CultureInfo]::InvariantCulture) + ' MiB'
}

# The drive as Windows sees it now: bytes free, and bytes in all.
function space {
    $drive = Get-CimInstance -ClassName Win32_LogicalDisk -Filter "DeviceID='$mount'"
    if ($null -eq $drive -or [int]$drive.DriveType -ne 3) { return $null }
    if ($null -eq $drive.FreeSpace -or $null -eq $drive.Size -or [double]$drive.Size -le 0) { return $null }
    return @{ free = [double]$drive.FreeSpace; size = [double]$drive.Size }
}

function described {
    param($space)
    $culture = [Globalization.CultureInfo]::InvariantCulture
    $free_gib = ($space.free / 1073741824).ToString('f3', $culture)
    $percent = (100 * $space.free / $space.size).ToString('f1', $culture)
    return "$free_gib GiB ($percent %)"
}

# 1024 is the mark of a reparse point: a link, a junction, a file that is elsewhere.
function is_link {
    param([string]$path)
    return ([int][IO.File]::GetAttributes($path) -band 1024) -ne 0
}

# Whether .NET means what Windows listed: names such as '.. ' and '...', which NTFS takes, lead elsewhere.
function is_plain {
    param([string]$path)
    if ($path -match '[. ]\z') { return $false }
    try {
        return [IO.Path]::GetFullPath($path) -ceq $path
    } catch {
        return $false
    }
}

# Why a folder may not be cleaned; '' when it may.
function why_not {
    param([string]$folder)
    if ((drive_of $folder) -ne $mount) { return "it is not on $mount" }
    $at = $folder
    while ($at) {
        if (is_link $at) { return 'it is reached through a link' }
        $at = [IO.Path]::GetDirectoryName($at)
    }
    if ($owners -notcontains (owner_of $folder)) { return 'it belongs neither to the system nor to the administrators' }
    return ''
}

# When a file was written, made or read, whichever is the latest; Windows may not keep the last.
function last_used {
    param([string]$path)
    $info = New-Object IO.FileInfo -ArgumentList $path
    $latest = $info.LastWriteTimeUtc
    foreach ($time in $info.CreationTimeUtc, $info.LastAccessTimeUtc) {
        if ($time -gt $latest) { $latest = $time }
    }
    return $latest
}

# Remove a file if it is old; its size when it was removed, -1 when it had to stay, $null when it is not old.
function remove_file {
    param([string]$path)
    if (-not (is_plain $path)) { return -1 }
    try {
        if ((last_used $path) -ge $oldest) { return $null }
        if ((is_link $path) -or $file_owners -notcontains (owner_of $path)) { return -1 }
        $size = (New-Object IO.FileInfo -ArgumentList $path).Length
        # Nobody has it open when we can open it without sharing it, but for its removal.
        $file = [IO.File]::Open($path, 'Open', 'Read', 'Delete')
        try {
            [IO.File]::Delete($path)
        } finally {
            $file.Dispose()
        }
        return $size
    } catch {
        return -1
    }
}

# A file of ours in a folder, open until it is disposed of, which removes it.
function hold {
    param([string]$path)
    # Typed: .NET Framework has three constructors of six arguments that texts would fit.
    $how = @([IO.FileMode]::CreateNew, [IO.FileAccess]::Write, [IO.FileShare]::None, 1, [IO.FileOptions]::DeleteOnClose)
    return New-Object IO.FileStream -ArgumentList (@($path) + $how)
}

# Whether the file that we hold is in the folder, and not where a link led to when it was
# made. Who makes a link of the folder and takes it back, again and again, gets past one
# look, but hardly past so many.
function is_held {
    param([string]$folder, [string]$path)
    foreach ($look in 1..$looks) {
        if ((is_link $folder) -or -not [IO.File]::Exists($path)) { return $false }
        if ($owners -notcontains (owner_of $path)) { return $false }
    }
    return -not (is_link $folder)
}

# The folders of a folder that may be gone into.
function find_folders {
    param([string]$folder)
    foreach ($each in [IO.Directory]::GetDirectories($folder)) {
        if (-not (is_plain $each) -or (is_link $each) -or (others_may_write $each)) { continue }
        if ($owners -contains (owner_of $each)) { $each }
    }
}

# Remove the old files of a folder whose names fit; say how many, and how much that freed.
# With `deep` also of the folders in it, and then only the system may write to any of them.
# Without, others may write to the folder, and it is held.
function remove_old {
    param([string]$what, [string]$folder, [string]$names, [switch]$deep)
    if (-not [IO.Directory]::Exists($folder)) { return }
    $guard = $null
    try {
        $why = why_not $folder
        if (-not $why -and $deep -and (others_may_write $folder)) { $why = 'others than the system may write there' }
        if (-not $why -and -not $deep) {
            $path = [IO.Path]::Combine($folder, 'remedy-' + [Guid]::NewGuid().ToString('n') + '.tmp')
            $guard = hold $path
            if (-not (is_held $folder $path)) { $why = 'somebody makes a link of it' }
        }
        if ($why) {
            "$what in ${folder}: left alone, $why"
            return
        }
        remove_old_files $what $folder $names $deep
    } catch {
        "$what in ${folder}: left alone ($($_.Exception.Message))"
    } finally {
        if ($null -ne $guard) { $guard.Dispose() }
    }
}

function remove_old_files {
    param([string]$what, [string]$folder, [string]$names, [bool]$deep)
    $removed = 0
    $freed = 0
    $stayed = 0
    $is_over = $false
    $waiting = New-Object Collections.Stack
    $waiting.Push($folder)
    while ($waiting.Count -gt 0 -and -not $is_over) {
        $current = [string]$waiting.Pop()
        if ($clock.Elapsed.TotalSeconds -gt $clean_s_max) {
            $is_over = $true
            continue
        }
        try {
            $files = [IO.Directory]::GetFiles($current)
            if ($deep) {
                foreach ($each in @(find_folders $current)) { $waiting.Push($each) }
            }
        } catch {
            $stayed += 1
            continue
        }
        foreach ($each in $files) {
            if ($clock.Elapsed.TotalSeconds -gt $clean_s_max) {
                $is_over = $true
                break
            }
            if ([IO.Path]::GetFileName($each) -notlike $names) { continue }
            $size = remove_file $each
            if ($null -eq $size) { continue }
            if ($size -lt 0) {
                $stayed += 1
            } else {
                $removed += 1
                $freed += $size
            }
        }
    }
    $line = "$what in ${folder}: $removed files, $(mib $freed) freed"
    if ($stayed -gt 0) { $line += "; $stayed left alone, in use or not the system's" }
    if ($is_over) { $line += "; not all of it in $clean_s_max s" }
    $line
}

function status_of {
    param([string]$name)
    return [string](Get-Service -Name $name).Status
}

# Whether a service is stopped within so many seconds.
function is_stopped_soon {
    param([string]$name)
    $waited = [Diagnostics.Stopwatch]::StartNew()
    while ((status_of $name) -ne 'Stopped') {
        if ($waited.Elapsed.TotalSeconds -gt $stop_s_max) { return $false }
        Start-Sleep -Milliseconds 500
    }
    return $true
}

# Whether updates wait for a restart: what was downloaded may be needed after it.
function is_restart_pending {
    $machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    foreach ($key in 'WindowsUpdate\Auto Update\RebootRequired', 'Component Based Servicing\RebootPending') {
        if ($null -ne $machine.OpenSubKey("SOFTWARE\Microsoft\Windows\CurrentVersion\$key")) { return $true }
    }
    return $false
}

# Remove old downloads of updates while the services that use them are stopped.
# Those that ran are started again, whatever happens.
function clean_updates {
    $folder = [IO.Path]::Combine($windows, 'SoftwareDistribution', 'Download')
    if (-not [IO.Directory]::Exists($folder)) { return }
    if (@(Get-CimInstance -ClassName Win32_Process -Filter "Name='TiWorker.exe'").Count -gt 0) {
        "update downloads in ${folder}: left alone, updates are being installed"
        return
    }
    $stopped = @()
    try {
        if (is_restart_pending) {
            "update downloads in ${folder}: left alone, a restart is pending"
            return
        }
        $is_quiet = $true
        foreach ($name in 'wuauserv', 'bits') {
            if (-not $is_quiet) { continue }
            $status = status_of $name
            if ($status -eq 'Stopped') { continue }
            if ($status -ne 'Running') {
                "update downloads in ${folder}: left alone, the service $name is $status"
                $is_quiet = $false
                continue
            }
            $stopped += $name
            Stop-Service -Name $name -NoWait
            if (is_stopped_soon $name) {
                "stopped the service $name"
            } else {
                "update downloads in ${folder}: left alone, the service $name did not stop in $stop_s_max s"
                $is_quiet = $false
            }
        }
        if ($is_quiet) { remove_old 'update downloads' $folder '*' -deep }
    } catch {
        "update downloads in ${folder}: left alone ($($_.Exception.Message))"
    } finally {
        foreach ($name in $stopped) {
            try {
                # It still runs when stopping it failed, say for a service that needs it.
                if ((status_of $name) -ne 'Running') {
                    if (-not (is_stopped_soon $name)) { throw 'it is still stopping' }
                    Start-Service -Name $name
                    "started the service $name again"
                }
            } catch {
                [Console]::Error.WriteLine("the service $name was stopped and does not start again: $($_.Exception.Message)")
                $global:_clean_failed = $true
            }
        }
    }
}

function clean_delivery_cache {
    if (-not (Get-Command -Name Delete-DeliveryOptimizationCache -ErrorAction SilentlyContinue)) { return }
    $before = space
    try {
        $null = Delete-DeliveryOptimizationCache -Force
    } catch {
        "Delivery Optimization cache: left alone ($($_.Exception.Message))"
        return
    }
    $after = space
    if ($null -eq $before -or $null -eq $after) { return }
    "Delivery Optimization cache: $(mib ([math]::Max(0, $after.free - $before.free))) freed"
}

function show_largest_folders {
    "the largest folders of $mount, by the files directly in them (as far as $show_s_max s went):"
    $started = $clock.Elapsed.TotalSeconds
    $sizes = @{}
    $waiting = New-Object Collections.Queue
    $waiting.Enqueue((top_of $mount))
    while ($waiting.Count -gt 0 -and $clock.Elapsed.TotalSeconds - $started -lt $show_s_max) {
        $current = [string]$waiting.Dequeue()
        try {
            # A name that .NET bends leads to a folder that was seen before.
            if ($sizes.ContainsKey($current)) { continue }
            $folder = New-Object IO.DirectoryInfo -ArgumentList $current
            $bytes = 0
            foreach ($each in $folder.GetFiles()) { $bytes += $each.Length }
            $sizes[$current] = $bytes
            foreach ($each in $folder.GetDirectories()) {
                if (([int]$each.Attributes -band 1024) -eq 0) { $waiting.Enqueue($each.FullName) }
            }
        } catch {
            # Not even administrators may look into each.
            $sizes[$current] = 0
        }
    }
    $largest = @($sizes.GetEnumerator() | Sort-Object -Property Value -Descending | Select-Object -First $shown_max)
    foreach ($each in $largest) {
        if ($each.Value -gt 0) { (mib $each.Value).PadLeft(16) + '  ' + $each.Key }
    }
}

# A number of a parameter; $null when it is none.
function number_of {
    param([string]$text)
    if ($text -notmatch '\A[0-9]{1,9}(\.[0-9]{1,9})?\z') { return $null }
    return [double]$text
}

$global:_clean_failed = $false
$mount = [string]$Remedy.row.mount
$below_percent = number_of ([string]$Remedy.params.below_percent)
$below_gib = number_of ([string]$Remedy.params.below_gib)
$days = number_of ([string]$Remedy.params.min_age_days)
if ($null -eq $days -or $days -lt 1 -or $days -gt 36500) { refuse 'min_age_days must be a number of days, at least 1' }
if ($null -eq $below_percent -or $null -eq $below_gib) { refuse 'below_percent and below_gib must be numbers' }
$oldest = [DateTime]::UtcNow.AddDays(-$days)
if (-not (is_administrator)) { refuse 'this needs an administrator' }
if ($mount -cnotmatch '\A[A-Za-z]:\z') { refuse "'$mount' is no drive" }
$space = space
if ($null -eq $space) { refuse "$mount is no fixed drive here, or it cannot be read" }
$windows = special_folder 'Windows'
if (-not $windows) { refuse 'Windows does not say where it keeps its files' }

"free on $mount before: $(described $space)"
if ((drive_of $windows) -eq $mount) {
    remove_old 'crash dumps' ([IO.Path]::Combine($windows, 'Minidump')) '*.dmp' -deep
    remove_old 'crash dumps' ([IO.Path]::Combine($windows, 'LiveKernelReports')) '*.dmp' -deep
    clean_updates
    clean_delivery_cache
    # Last, for it takes room for one more file.
    remove_old 'temporary files' ([IO.Path]::Combine($windows, 'Temp')) '*'
} else {
    "$mount is not the drive of Windows, and nothing on it is known to be safe to remove"
}

$space = space
if ($null -eq $space) {
    [Console]::Error.WriteLine("$mount cannot be read any more")
    exit 1
}
"free on $mount after: $(described $space)"
if (100 * $space.free -lt $below_percent * $space.size -and $space.free -lt $below_gib * 1073741824) {
    "that is still less than $below_percent % and $below_gib GiB"
    show_largest_folders
}
if ($global:_clean_failed) { exit 1 }
exit 0

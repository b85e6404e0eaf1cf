# Before a fix: hold file, lock, marker, in this order. Whatever stands in the way is
# said and ends the process, and nothing of the script has run; what fails unforeseen
# ends it too, for every error does (the bootstrap sets 'Stop').

# Ends the payload before the script.
function remedy_leave {
    param([string]$words)
    remedy_say $words
    throw 'remedy: the script was not started'
}

# The hold file's first line, cut to 200 characters.
function remedy_first_line {
    param([string]$path)
    try {
        $reader = New-Object IO.StreamReader $path
        try {
            $characters = New-Object char[] 200
            $count = $reader.Read($characters, 0, 200)
        } finally {
            $reader.Dispose()
        }
        $text = (-join $characters).Substring(0, $count)
        return ($text -split '[\r\n]')[0]
    } catch {
        return ''
    }
}

# Makes the folder so that only administrators and the system write there: everybody may
# make files in the folder above it, and who could make some here could forge markers.
function remedy_make_root {
    if (-not (remedy_is_windows)) {
        [void][IO.Directory]::CreateDirectory($root)
        return
    }
    if (-not (remedy_is_administrator)) { throw 'remedy: only an administrator makes this folder' }
    # With its owner and rights from the first moment: nobody else can put anything there before.
    # When there is a folder by now it stays as it is, and is looked at like any other.
    $security = New-Object Security.AccessControl.DirectorySecurity
    $security.SetSecurityDescriptorSddlForm('O:BAG:BAD:P(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)')
    if ($PSVersionTable.PSVersion.Major -ge 6) {
        $folder = New-Object IO.DirectoryInfo -ArgumentList $root
        $null = [IO.FileSystemAclExtensions]::Create($folder, $security)
    } else {
        $null = [IO.Directory]::CreateDirectory($root, $security)
    }
}

# Whether anybody else may do anything but read in a folder, or in what is in it.
function remedy_others_may_write {
    param($security, [string[]]$trusted)
    foreach ($rule in $security.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])) {
        # S-1-3-0 stands for whoever makes something in it, and that is one of these.
        $who = [string]$rule.IdentityReference.Value
        if ($trusted -contains $who -or $who -eq 'S-1-3-0') { continue }
        if ([string]$rule.AccessControlType -ne 'Allow') { continue }
        # Write, append, attributes, remove what is in it, remove, change rights or owner; generic write and all.
        if (([int]$rule.FileSystemRights -band 0x500D0156) -ne 0) { return $true }
    }
    return $false
}

# Somebody else may have made the folder first: who owns it, or may write there, could keep
# the lock open, hold the host, or forge markers.
function remedy_check_root {
    if ((remedy_kind $root) -ne 'directory') { throw 'remedy: this is no folder' }
    if (-not (remedy_is_windows)) { return }
    $security = Get-Acl -LiteralPath $root
    $trusted = @('S-1-5-32-544', 'S-1-5-18', [Security.Principal.WindowsIdentity]::GetCurrent().User.Value)
    if ($trusted -notcontains $security.GetOwner([Security.Principal.SecurityIdentifier]).Value) {
        throw 'remedy: neither the administrators nor the system nor this login own this folder'
    }
    if (remedy_others_may_write $security $trusted) {
        throw 'remedy: others than the administrators, the system and this login may write in this folder'
    }
}

# Removes markers older than 30 days, a hundred at once; while the system is up, its own
# clock must say so too. Only what is surely a marker of ours: a name as executions have,
# a start as we write it, and nothing beside it that we do not put there.
function remedy_forget {
    $removed = 0
    $ours = @('rc.new', 'rc', 'start')
    $oldest = [DateTime]::UtcNow.AddDays(-30)
    foreach ($each in [IO.Directory]::GetDirectories($root)) {
        try {
            if ([IO.Directory]::GetLastWriteTimeUtc($each) -ge $oldest) { continue }
            if (-not [regex]::IsMatch([IO.Path]::GetFileName($each), '\A[0-9A-Za-z][0-9A-Za-z_-]{0,63}\z')) { continue }
            if ((remedy_kind $each) -ne 'directory' -or [IO.Directory]::GetDirectories($each).Length -gt 0) { continue }
            $names = [IO.Directory]::GetFiles($each) | ForEach-Object { [IO.Path]::GetFileName($_) }
            if (@($names | Where-Object { $ours -notcontains $_ }).Count -gt 0) { continue }
            $text = [string](remedy_read ([IO.Path]::Combine($each, 'start')))
            $found = [regex]::Match($text, '\Aboot_id (?<boot>[0-9A-Za-z-]{1,64})\n(.*\n)*up_s (?<up>[0-9]{1,10})\n\z')
            if (-not $found.Success) { continue }
            if ($found.Groups['boot'].Value -eq $boot) {
                if ($up -le 2592000 + [long]$found.Groups['up'].Value) { continue }
            }
            # The start last: without it nobody would know the rest for ours.
            foreach ($name in $ours) { [IO.File]::Delete([IO.Path]::Combine($each, $name)) }
            [IO.Directory]::Delete($each)
            $removed += 1
            if ($removed -ge 100) { return }
        } catch {
            continue
        }
    }
}

$root = remedy_root
if (-not $root) { remedy_leave 'refused marker %ProgramData%\remedy' }

$hold = [IO.Path]::Combine($root, 'hold')
$kind = remedy_kind $hold
if ($kind -eq 'file' -or $kind -eq 'directory') { remedy_leave ('held ' + (remedy_first_line $hold)) }
if ($kind -ne 'absent') { remedy_leave "refused hold $hold" }

try {
    if ((remedy_kind $root) -eq 'absent') { remedy_make_root }
    remedy_check_root
} catch {
    [Console]::Error.Write(($_ | Out-String -Width 500))
    remedy_leave "refused marker $root"
}

$marker = [IO.Path]::Combine($root, $values.execution_id)
$start = [IO.Path]::Combine($marker, 'start')
$lock = [IO.Path]::Combine($root, 'lock')
try {
    # Nobody else can open it until this process ends, whichever way.
    $_k.l = [IO.File]::Open($lock, 'OpenOrCreate', 'ReadWrite', 'None')
} catch {
    # A sharing violation: ERROR_SHARING_VIOLATION on Windows, EWOULDBLOCK elsewhere.
    $code = $_.Exception.GetBaseException().HResult
    if ($code -ne -2147024864 -and $code -ne 11) { remedy_leave "refused lock $lock" }
    if ((remedy_kind $start) -eq 'absent') { remedy_leave 'busy' }
    remedy_leave 'already'
}

$boot = remedy_boot_id
$up = remedy_up_s
$born = remedy_born $PID
if ($born -eq '') { $born = '-' }
remedy_forget
$file = $null
try {
    [void][IO.Directory]::CreateDirectory($marker)
    $file = [IO.File]::Open($start, 'CreateNew', 'Write', 'Read')
} catch {
    if ((remedy_kind $start) -eq 'file') { remedy_leave 'already' }
    [Console]::Error.Write(($_ | Out-String -Width 500))
    remedy_leave "refused marker $marker"
}
try {
    $at = [DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ssZ', [Globalization.CultureInfo]::InvariantCulture)
    $lines = "boot_id $boot`npid $PID`nborn $born`nstarted_at $at`ndeadline_s $($values.deadline_s)`nup_s $up`n"
    $bytes = [Text.Encoding]::ASCII.GetBytes($lines)
    $file.Write($bytes, 0, $bytes.Length)
    $file.Flush($true)
    $file.Dispose()
    remedy_set_environment
} catch {
    [Console]::Error.Write(($_ | Out-String -Width 500))
    try {
        $file.Dispose()
    } catch {
        [Console]::Error.Write(($_ | Out-String -Width 500))
    }
    try {
        [IO.Directory]::Delete($marker, $true)
    } catch {
        [Console]::Error.Write(($_ | Out-String -Width 500))
    }
    remedy_leave "refused marker $marker"
}

# From here on the bootstrap writes the end into this file.
$_k.f = [IO.Path]::Combine($marker, 'rc')
remedy_say "started $boot"
$values.remedy

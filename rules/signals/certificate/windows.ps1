# Days until each certificate of the machine expires: one row per certificate. Changes nothing.
#
# Without the parameter `paths`: the machine's own certificates (Cert:\LocalMachine\My)
# that have a private key; a machine that has none is not applicable. With it: exactly
# those stores, such as Cert:\LocalMachine\WebHosting, and all certificates in them.
# What was named and is no store, cannot be opened or is empty has a row without days:
# it is never silently absent. Files are not read on Windows.
# Archived certificates have no row. Neither has one that was renewed (a later one has
# the same subject and names) unless a port of HTTP.sys (IIS, WinRM) still serves it.

$subject_length_max = 1000
$own_store = 'Cert:\LocalMachine\My'

# The certificates of a store of the machine; an error when there is no such store.
function read_store {
    param([string]$name)
    $store = New-Object Security.Cryptography.X509Certificates.X509Store -ArgumentList $name, 'LocalMachine'
    $store.Open('ReadOnly, OpenExistingOnly')
    try {
        foreach ($each in $store.Certificates) { $each }
    } finally {
        $store.Close()
    }
}

# The thumbprints of the certificates that ports of HTTP.sys serve.
function read_bound {
    $machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    foreach ($kind in 'SslBindingInfo', 'SslSniBindingInfo') {
        $key = $machine.OpenSubKey("SYSTEM\CurrentControlSet\Services\HTTP\Parameters\$kind")
        if ($null -eq $key) { continue }
        foreach ($name in $key.GetSubKeyNames()) {
            $hash = $key.OpenSubKey($name).GetValue('SslCertHash')
            if ($hash -is [byte[]]) { [BitConverter]::ToString($hash) -replace '-', '' }
        }
    }
}

# What a renewed certificate has in common with the one before: subject and names.
function same_again {
    param($certificate)
    $text = [string]$certificate.Subject
    foreach ($each in @($certificate.Extensions)) {
        # Alternative names, by number; the bytes, since their text is in the system's language.
        if ($null -ne $each -and [string]$each.Oid.Value -eq '2.5.29.17') {
            $text += "`n" + [Convert]::ToBase64String($each.RawData)
        }
    }
    return $text
}

$now = [DateTime]::UtcNow
$wanted = [string]$Remedy.params.paths
$is_named = $wanted -ne ''
if (-not $is_named) { $wanted = $own_store }
$bound = @(read_bound)

$rows = 0
$seen = @()
foreach ($path in ($wanted -split "`n")) {
    if ($seen -contains $path) { continue }
    $seen += $path
    $certificates = @()
    $trouble = ''
    $store = '\ACert:\\LocalMachine\\(?<store>[A-Za-z0-9 _-]{1,100})\z'
    $found = [regex]::Match($path, $store, 'IgnoreCase, CultureInvariant')
    if ($found.Success) {
        try {
            $certificates = @(read_store $found.Groups['store'].Value)
        } catch {
            if (-not $is_named) { throw }
            [Console]::Error.WriteLine("${path}: $($_.Exception.Message)")
            $trouble = '(cannot be opened)'
        }
        if ($trouble -eq '' -and $certificates.Count -eq 0) { $trouble = '(there is no certificate in it)' }
    } else {
        $trouble = '(no store of this machine)'
    }
    if (-not $is_named) {
        $certificates = @($certificates | Where-Object { $_.HasPrivateKey })
        $trouble = ''
    }
    if ($trouble -ne '') {
        emit path $path subject $trouble serial '-' days_left $null lifetime_days $null
        $rows += 1
    }

    $latest = @{}
    foreach ($each in $certificates) {
        $same = same_again $each
        if ($each.NotBefore.ToUniversalTime() -gt $now) { continue }
        if (-not $latest.ContainsKey($same) -or $each.NotAfter -gt $latest[$same]) { $latest[$same] = $each.NotAfter }
    }
    $said = @{}
    foreach ($each in @($certificates | Sort-Object -Property NotAfter)) {
        $same = same_again $each
        if ($each.Subject -and $latest.ContainsKey($same) -and $each.NotAfter -lt $latest[$same]) {
            if ($bound -notcontains [string]$each.Thumbprint) { continue }
        }
        $subject = [string]$each.Subject
        if ($subject -eq '') { $subject = '(no subject)' }
        if ($subject.Length -gt $subject_length_max) { $subject = $subject.Substring(0, $subject_length_max) }
        # Of two with one serial the one that ends first counts.
        $key = "$subject`n$($each.SerialNumber)"
        if ($said.ContainsKey($key)) { continue }
        $said[$key] = $true
        $end = $each.NotAfter.ToUniversalTime()
        $days_left = [math]::Round(($end - $now).TotalDays, 2)
        $lifetime_days = [math]::Round(($end - $each.NotBefore.ToUniversalTime()).TotalDays, 2)
        emit path $path subject $subject serial $each.SerialNumber days_left $days_left lifetime_days $lifetime_days
        $rows += 1
    }
}
if ($rows -eq 0) {
    not_applicable "there is no certificate with a private key in $own_store, and no store is named (parameter paths of the signal certificate)"
}
exit 0

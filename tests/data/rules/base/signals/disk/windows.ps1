emit mount C: free_gib 1 free_percent 1

'cleaned'
